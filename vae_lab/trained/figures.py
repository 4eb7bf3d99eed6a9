"""Figures of generated data: the manifold of a two-dimensional latent space, and samples of the prior."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vae_lab.errors import UserError
from vae_lab.figures.manifold import manifold_points, mosaics
from vae_lab.noise import NoiseSource
from vae_lab.trained.load import load_trained
from vae_lab.training.build import RunParts

SAMPLES_SIDE = 10


def manifolds(directories: Sequence[Path], path: Path) -> None:
    r"""Draws, for each run, p(x|z) on a grid of the two latent dimensions.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), figure 4.

    Args:
        directories: Of finished runs with two latent dimensions.
        path: Where the PNG goes.

    Raises:
        UserError: If a run has another number of latent dimensions, or its data are no images.
    """
    panels = []
    for directory in directories:
        parts, result, *_ = load_trained(directory)
        if not parts.vae.prior.is_standard_normal:
            raise UserError(
                f"a manifold is drawn for model/prior=standard_normal, and {directory} has "
                f"{type(parts.vae.prior).__name__}."
            )
        if (size := parts.vae.latent_dim) != 2:
            raise UserError(f"a manifold needs model.latent_dim=2, and {directory} has {size}.")
        side = parts.dataset.figure_side
        images = _means(parts, manifold_points(side))
        panels.append((_title(parts, result["metrics"]["samples"]), images, side))
    mosaics(panels, path)


def samples(directories: Sequence[Path], path: Path) -> None:
    """Draws, for each run, means of p(x|z) for z from the prior.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), figure 5.

    Args:
        directories: Of finished runs.
        path: Where the PNG goes.

    Raises:
        UserError: If the data of a run are no images.
    """
    panels = []
    for directory in directories:
        parts, result, *_ = load_trained(directory)
        spec = {"prior": parts.vae.prior.noise_spec(num_samples=1)}
        noise = NoiseSource(seed=0).training(spec, purpose="figure", step=0, batch_size=SAMPLES_SIDE**2)
        images = _means(parts, parts.vae.prior.sample(noise["prior"])[0])
        title = f"{parts.vae.latent_dim} latent dimensions\n{_title(parts, result['metrics']['samples'])}"
        panels.append((title, images, SAMPLES_SIDE))
    mosaics(panels, path)


@torch.no_grad()
def _means(parts: RunParts, z: Tensor) -> Tensor:
    """E[x|z] of shape `(N, C, H, W)`."""
    if len(parts.dataset.shape) != 3:
        raise UserError(f"{type(parts.dataset).__name__} holds no images to draw.")
    dtype = next(parts.vae.parameters()).dtype
    return parts.vae.decode(z.to(dtype).unsqueeze(0)).mean[0].clamp(0, 1).float()


def _title(parts: RunParts, num_samples: float) -> str:
    return f"{type(parts.dataset).__name__}, {num_samples / 1e6:.3g} million training samples"
