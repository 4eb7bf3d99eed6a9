"""The figures that every training leaves in its run directory."""

from pathlib import Path

import torch
from torch import Tensor

from vae_lab.figures.images import image_grid, interleave
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource, permutation
from vae_lab.training.build import TrainingParts
from vae_lab.training.figures.learning_curve import learning_curve

COLUMNS, IMAGES = 8, 32


def draw_figures(
    folder: Path,
    rows: list[dict[str, str]],
    parts: TrainingParts,
    drawn: Tensor | None,
    exact: float | None = None,
) -> dict[str, Path]:
    """Draws what a training leaves; gives the paths.

    Args:
        folder: Where the figures go.
        rows: Rows of `metrics.csv`.
        parts: The training's.
        drawn: Data that the model has drawn, if it can.
        exact: The exact log-likelihood of the validation data where it is known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learning_curve(rows, parts.estimator.selection, folder / "learning_curve.png", exact)
    parts.model.eval()
    if parts.model.has_latents:
        if not parts.model.is_over_pixels:
            return {path.stem: path for path in sorted(folder.glob("*.png"))}
        with torch.no_grad():
            if parts.model.has_encoder:
                _reconstructions(parts, folder / "reconstructions.png")
            _prior_samples(parts, folder / "prior_samples.png")
    else:
        draw_run_samples(folder, drawn)
    return {path.stem: path for path in sorted(folder.glob("*.png"))}


def draw_run_samples(folder: Path, drawn: Tensor | None) -> dict[str, Path]:
    """Draws data that a model has drawn; gives the path."""
    folder.mkdir(parents=True, exist_ok=True)
    if drawn is None:
        return {}
    path = folder / "samples.png"
    image_grid([("samples", drawn)], path, COLUMNS)
    return {path.stem: path}


def _reconstructions(parts: TrainingParts, path: Path) -> None:
    test = parts.dataset.data.test.x
    count, columns = whole_rows(len(test))
    chosen = permutation(len(test), seed=0, purpose="figure", epoch=0)[:count]
    x = _like_model(test[chosen], parts)
    batch = Batch(x, chosen.to(x.device))
    vae = parts.evaluation.with_posterior(parts.vae, batch, parts.noise, "test")
    means = vae.decode(vae.encode(batch).mean.unsqueeze(0)).mean[0]
    if x.dim() == 4:
        rows = interleave(x, means, columns)
        image_grid([("test data, each row above its reconstruction", rows)], path, columns)
    else:
        image_grid([("test data, one per row", x), ("reconstructions", means)], path, columns)


def whole_rows(available: int) -> tuple[int, int]:
    """How many images to show, and in how many columns, so that every row is full.

    Example:
        >>> whole_rows(10_000), whole_rows(20), whole_rows(5)
        ((32, 8), (16, 8), (5, 5))
    """
    columns = min(COLUMNS, available)
    return min(IMAGES, available) // columns * columns, columns


def _prior_samples(parts: TrainingParts, path: Path) -> None:
    vae = parts.vae
    spec = {"prior": vae.prior.noise_spec(num_samples=1)}
    noise = NoiseSource(seed=0).training(spec, purpose="figure", step=0, batch_size=IMAGES)
    z = vae.prior.sample(_like_model(noise["prior"], parts))
    image_grid([("means of p(x|z) for z from the prior", vae.decode(z).mean[0])], path, COLUMNS)


def _like_model(tensor: Tensor, parts: TrainingParts) -> Tensor:
    reference = next(parts.vae.parameters())
    return tensor.to(device=reference.device, dtype=reference.dtype)
