"""The figures that every training leaves in its run directory."""

from pathlib import Path

import torch

from vae_lab.build import Parts
from vae_lab.figures.images import image_grid, interleave
from vae_lab.figures.learning_curve import learning_curve
from vae_lab.noise import NoiseSource, permutation
from vae_lab.vae import Batch

COLUMNS, IMAGES = 8, 32


def draw_figures(
    folder: Path, rows: list[dict[str, str]], parts: Parts, exact: float | None = None
) -> dict[str, Path]:
    """Draws the learning curve, reconstructions beside originals, and prior samples; gives their paths."""
    folder.mkdir(exist_ok=True)
    names = ["learning_curve", *(["reconstructions"] if parts.vae.has_encoder else []), "prior_samples"]
    paths = {name: folder / f"{name}.png" for name in names}
    learning_curve(rows, parts.estimator.selection, paths["learning_curve"], exact)
    parts.vae.eval()
    with torch.no_grad():
        if parts.vae.has_encoder:
            _reconstructions(parts, paths["reconstructions"])
        _prior_samples(parts, paths["prior_samples"])
    return {name: path for name, path in paths.items() if path.is_file()}


def _reconstructions(parts: Parts, path: Path) -> None:
    test = parts.dataset.data.test.x
    chosen = permutation(len(test), seed=0, purpose="figure", epoch=0)[:IMAGES]
    x = _like_model(test[chosen], parts)
    batch = Batch(x, chosen.to(x.device))
    vae = parts.evaluation.with_posterior(parts.vae, batch, parts.noise, "test")
    means = vae.decode(vae.encode(batch).mean.unsqueeze(0)).mean[0]
    if x.dim() == 4:
        image_grid(
            [("test data, each row above its reconstruction", interleave(x, means, COLUMNS))], path, COLUMNS
        )
    else:
        image_grid([("test data, one per row", x), ("reconstructions", means)], path, COLUMNS)


def _prior_samples(parts: Parts, path: Path) -> None:
    vae = parts.vae
    spec = {"prior": vae.prior.noise_spec(num_samples=1)}
    noise = NoiseSource(seed=0).training(spec, purpose="figure", step=0, batch_size=IMAGES)
    z = vae.prior.sample(_like_model(noise["prior"], parts))
    image_grid([("means of p(x|z) for z from the prior", vae.decode(z).mean[0])], path, COLUMNS)


def _like_model(tensor: torch.Tensor, parts: Parts) -> torch.Tensor:
    reference = next(parts.vae.parameters())
    return tensor.to(device=reference.device, dtype=reference.dtype)
