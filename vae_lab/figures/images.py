"""Grids of data: images as images, vectors as strips."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor
from torchvision.utils import make_grid

from vae_lab.figures.style import figure


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
        scale = groups[0][1].aminmax()
        for axes, (title, data) in zip(panels, groups, strict=True):
            _draw(axes, data, columns, (float(scale.min), float(scale.max)))
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()


def _tiles(data: Tensor, columns: int) -> tuple[float, float]:
    if data.dim() != 4:
        return 1.0, 1.0
    rows = -(-len(data) // columns)
    return rows * data.shape[2], min(columns, len(data)) * data.shape[3]


def _draw(axes: Axes, data: Tensor, columns: int, scale: tuple[float, float]) -> None:
    if data.dim() != 4:
        low, high = scale
        axes.imshow(data.flatten(1).cpu().float().numpy(), aspect="auto", vmin=low, vmax=high)
        return
    images = data.clamp(0, 1).cpu().float()
    channels = images.shape[1] if images.shape[1] in (1, 3) else 1
    grid = make_grid(images[:, :channels], nrow=columns, padding=1, pad_value=0.5)
    axes.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest")


def interleave(first: Tensor, second: Tensor, columns: int) -> Tensor:
    """Rows of the first beside rows of the second: row, row, row, row, for comparison by eye.

    Example:
        >>> interleave(torch.tensor([1, 2, 3, 4]), torch.tensor([5, 6, 7, 8]), columns=2).tolist()
        [1, 2, 5, 6, 3, 4, 7, 8]
    """
    rows = zip(first.split(columns), second.split(columns), strict=True)
    return torch.cat([row for pair in rows for row in pair])
