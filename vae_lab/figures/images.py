"""Grids of data: images as images, vectors as strips."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor
from torchvision.utils import make_grid

from vae_lab.figures.style import MISSING, figure
from vae_lab.models.likelihoods.support import extremes


def image_grid(groups: Sequence[tuple[str, Tensor]], path: Path, columns: int) -> None:
    """Draws titled groups of data, side by side, on the scale of the first.

    Args:
        groups: Title and data `(N, *data_shape)` of each group; values of images are clipped to [0, 1].
        path: Where the PNG goes.
        columns: Images per row of a group.
    """
    height, width = _tiles(groups[0][1], columns)
    inches = 2.4
    with figure(path, inches * len(groups), inches * height / width + 0.35) as canvas:
        panels = canvas.subplots(1, len(groups), squeeze=False)[0]
        scale = extremes(groups[0][1])
        for axes, (title, data) in zip(panels, groups, strict=True):
            draw_grid(axes, data, columns, scale)
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()


def _tiles(data: Tensor, columns: int) -> tuple[float, float]:
    if data.dim() != 4:
        return 1.0, 1.0
    rows = -(-len(data) // columns)
    return rows * data.shape[2], min(columns, len(data)) * data.shape[3]


def draw_grid(
    axes: Axes,
    data: Tensor,
    columns: int,
    scale: tuple[float, float],
    extent: tuple[float, float, float, float] | None = None,
) -> None:
    """Draws images on [0, 1] in a grid, or vectors as strips; what is NaN has a colour of its own.

    Args:
        axes: Where.
        data: `(N, *data_shape)`.
        columns: Images per row.
        scale: Least and greatest value of vectors.
        extent: Left, right, bottom and top of a grid; None for all of the axes.
    """
    if data.dim() != 4:
        low, high = scale
        colours = mpl.colormaps["viridis"].with_extremes(bad=MISSING)
        strips = data.flatten(1).cpu().float().numpy()
        axes.imshow(strips, aspect="auto", vmin=low, vmax=high, cmap=colours, interpolation="nearest")
        return
    channels = data.shape[1] if data.shape[1] in (1, 3) else 1
    images = data[:, :channels].clamp(0, 1).cpu().float().expand(-1, 3, -1, -1)
    missing = torch.tensor(to_rgb(MISSING)).reshape(3, 1, 1)
    images = torch.where(images.isnan(), missing, images)
    grid = make_grid(images, nrow=columns, padding=1, pad_value=0.5)
    axes.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest", extent=extent)


def interleave(first: Tensor, second: Tensor, columns: int) -> Tensor:
    """Rows of the first beside rows of the second: row, row, row, row, for comparison by eye.

    Example:
        >>> interleave(torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6, 7, 8]), columns=2).tolist()
        [1, 2, 5, 6, 3, 4, 7, 8]
    """
    rows = zip(first.split(columns), second.split(columns), strict=True)
    return torch.cat([row for pair in rows for row in pair])
