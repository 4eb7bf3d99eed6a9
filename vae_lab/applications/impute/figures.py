"""Data with missing pixels, and what is made of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vae_lab.figures.images import draw_grid
from vae_lab.figures.style import figure
from vae_lab.models.likelihoods.support import extremes

IMAGES, STRIPS = 10, 40  # data in the figure
DRAWS = 4  # of each method
INCHES = 0.5  # the width of an image
Group = tuple[str, Sequence[Tensor]]  # a title, and its columns


def draw_imputations(
    x: Tensor,
    seen: Tensor,
    imputed: Mapping[str, tuple[Tensor, Tensor]],
    baselines: Mapping[str, Tensor],
    path: Path,
) -> None:
    """Draws some data as rows: the original, what is seen of it, mean and draws by each method, baselines.

    Args:
        x: The data, `(N, *data_shape)`.
        seen: The same with NaN for what is missing.
        imputed: Mean `(N, *data_shape)` and draws `(M, N, *data_shape)` of each method.
        baselines: What else is made of the data, each `(N, *data_shape)`.
        path: Where the PNG goes.
    """
    groups: list[Group] = [("original", [x]), ("seen", [seen])]
    for name, (mean, draws) in imputed.items():
        drawn = f"{min(DRAWS, len(draws))} draws" if len(draws) > 1 else "a draw"
        groups.append((f"{name.replace('_', ' ')}\nmean and {drawn}", [mean, *draws[:DRAWS]]))
    groups += [(name.replace(" ", "\n"), [each]) for name, each in baselines.items()]
    (_draw_images if x.dim() == 4 else _draw_strips)(groups, extremes(x), path)


def _draw_images(groups: Sequence[Group], scale: tuple[float, float], path: Path) -> None:
    """All groups on one pair of axes, so that their rows lie level."""
    count = min(IMAGES, len(groups[0][1][0]))
    height, width = (size + 1 for size in groups[0][1][0].shape[2:])  # with the line around an image
    columns = sum(len(each) for _, each in groups)
    gap = width / 4
    total = columns * width + len(groups) * (1 + gap)
    inches = INCHES / width
    with figure(path, total * inches, (count * height + 1) * inches + 0.4) as canvas:
        axes = canvas.subplots()
        left = 0.0
        for title, data in groups:
            right = left + len(data) * width + 1
            rows = torch.stack([each[:count] for each in data], dim=1).flatten(0, 1)
            draw_grid(axes, rows, len(data), scale, (left, right, count * height + 1, 0))
            axes.text((left + right) / 2, -gap / 2, title, ha="center", va="bottom", fontsize=7)
            left = right + gap
        axes.set(xlim=(0, left - gap), ylim=(count * height + 1, 0))
        axes.set_axis_off()


def _draw_strips(groups: Sequence[Group], scale: tuple[float, float], path: Path) -> None:
    """A datum per row, and of each method the mean alone."""
    columns = [(title.splitlines()[0] if len(data) > 1 else title, data[0]) for title, data in groups]
    with figure(path, 1.3 * len(columns), 4) as canvas:
        panels = canvas.subplots(1, len(columns), squeeze=False)[0]
        for axes, (title, data) in zip(panels, columns, strict=True):
            draw_grid(axes, data[:STRIPS], 1, scale)
            axes.set_title(title.replace(" ", "\n"), fontsize=7)
            axes.set_axis_off()
