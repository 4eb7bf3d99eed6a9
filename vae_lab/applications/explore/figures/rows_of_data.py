"""Rows of data, one for each path through the latent space: images side by side, vectors as strips."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from torch import Tensor
from torch.nn.functional import pad
from torchvision.utils import make_grid

from vae_lab.figures.style import figure

TILE = 0.52  # inches
STRIP = 0.11  # inches, of a vector
GAP = 2  # pixels between images
MIN_HEIGHT = 40  # pixels of an image's height
INACTIVE = "#8a8a8a"


def rows_of_data(
    rows: Sequence[tuple[str, bool]],
    data: Tensor,
    columns: Sequence[str],
    title: str,
    along: str,
    path: Path,
) -> None:
    """Draws rows of data on one scale, with what each row and each column is.

    Args:
        rows: For each row what it is, and whether it is printed in grey.
        data: `(R, S, *data_shape)`; values of images are clipped to [0, 1].
        columns: What each of the `S` is, in few characters.
        title: Of the figure.
        along: What changes along a row.
        path: Where the PNG goes.
    """
    draw = _images if data.dim() == 5 else _strips
    with figure(path, *_size(data)) as canvas:
        axes = canvas.subplots()
        middles = draw(axes, data.cpu().float(), columns, along)
        axes.set_yticks(middles, [name for name, _ in rows], fontsize=8)
        for tick, (_, is_grey) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_color(INACTIVE if is_grey else "black")
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_title(title, fontsize=9)


def _size(data: Tensor) -> tuple[float, float]:
    count, steps = data.shape[:2]
    if data.dim() != 5:
        return 6.0, STRIP * count * (steps + 1) + 0.9
    return TILE * steps + 1.4, TILE * data.shape[3] / data.shape[4] * count + 0.8


def _images(axes: Axes, data: Tensor, columns: Sequence[str], along: str) -> list[float]:
    """Draws each datum as an image; gives the middles of the rows."""
    count, steps, channels, *_ = data.shape
    images = data.flatten(0, 1)[:, : channels if channels in (1, 3) else 1].clamp(0, 1)
    grid = make_grid(_larger(images), nrow=steps, padding=GAP, pad_value=0.6)
    axes.imshow(grid.permute(1, 2, 0).numpy(), interpolation="nearest")
    places = [(size + GAP, GAP + size / 2 - 0.5) for size in _larger(images[:1]).shape[2:]]
    ((down, first_row), (right, first_column)) = places
    axes.set_xticks([first_column + right * column for column in range(steps)], columns, fontsize=7)
    axes.set_xlabel(along, fontsize=8)
    return [first_row + down * row for row in range(count)]


def _larger(images: Tensor) -> Tensor:
    """Images of a few pixels with several for each, so that the gaps between them are thin."""
    times = max(1, -(-MIN_HEIGHT // images.shape[2]))
    return images.repeat_interleave(times, 2).repeat_interleave(times, 3)


def _strips(axes: Axes, data: Tensor, columns: Sequence[str], along: str) -> list[float]:
    """Draws each datum as a strip, a row being a block of them; gives the middles of the blocks."""
    count, steps = data.shape[:2]
    blocks = pad(data.flatten(2), (0, 0, 0, 1), value=torch.nan).flatten(0, 1)[:-1]
    drawn = axes.imshow(blocks.numpy(), aspect="auto", interpolation="nearest")
    axes.figure.colorbar(drawn, ax=axes, pad=0.02)
    first, last = (columns[end].replace("\n", ", ") for end in (0, -1))
    below = f"in a block, from top ({first}) to bottom ({last}): {along}"
    axes.set_xlabel(f"component of the datum\n{below}", fontsize=8)
    return [(steps + 1) * block + (steps - 1) / 2 for block in range(count)]
