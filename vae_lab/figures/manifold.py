"""The manifold of a two-dimensional latent space: p(x|z) on a grid of z."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import make_grid

from vae_lab.figures.style import figure

INCHES = 4.6
SIDE = 20  # tiles along each side


def manifold_points(side: int) -> Tensor:
    """Points `(side^2, 2)`: the first dimension grows from left to right, the second from bottom to top.

    Equally spaced points of the unit square go through the inverse CDF of the standard normal, the prior.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), figure 4.
    """
    uniform = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    axis = torch.distributions.Normal(0.0, 1.0).icdf(uniform).float()
    second, first = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    return torch.stack([first, second], dim=-1).flatten(0, 1)


def mosaics(panels: Sequence[tuple[str, Tensor, int]], path: Path) -> None:
    """Draws square mosaics of images without gaps, side by side.

    Args:
        panels: Title, images `(side^2, C, H, W)` in [0, 1], and `side` of each.
        path: Where the PNG goes.
    """
    with figure(path, INCHES * len(panels), INCHES + 0.4) as canvas:
        for axes, (title, images, side) in zip(
            canvas.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            channels = images.shape[1] if images.shape[1] in (1, 3) else 1
            grid = make_grid(images[:, :channels], nrow=side, padding=0).permute(1, 2, 0)
            axes.imshow(grid.numpy(), aspect="equal")
            axes.set_title(title, fontsize=8)
            axes.set_axis_off()
