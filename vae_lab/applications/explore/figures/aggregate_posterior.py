"""The aggregate posterior in a plane, its classes in colour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.patheffects as effects
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

from vae_lab.figures.style import figure

# That the colour-blind tell apart: Accessible color sequences for data visualization (Petroff, 2021).
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MARKERS = ("o", "^", "s")
MAX_CLASSES = len(COLOURS) * len(MARKERS)  # each with a colour and a marker that no other has together
OTHERS = "#c8c8c8"
ALONE = "#0b5cad"


class Contours(NamedTuple):
    """Regions of a prior.

    Args:
        first: Where the density is known, along the first axis, `(S,)`.
        second: Along the second axis, `(S,)`.
        log_p: `(S, S)`, the second axis first.
        levels: Of log p, by what they are called.
    """

    first: Tensor
    second: Tensor
    log_p: Tensor
    levels: dict[float, str]


def aggregate_posterior(
    coordinates: Tensor,
    labels: Tensor | None,
    axis_names: Sequence[str],
    title: str,
    contours: Contours | None,
    path: Path,
) -> None:
    """Draws a point for each datum.

    Each class has its name at the median of its points, too; all but the 30 most frequent are grey.

    Args:
        coordinates: `(N, 2)`.
        labels: `(N,)`, where there are any.
        axis_names: Of both axes.
        title: Of the figure.
        contours: Of the prior; None for none.
        path: Where the PNG goes.
    """
    with figure(path, 5.6, 4.6) as canvas:
        axes = canvas.subplots()
        handles = _points(axes, coordinates, labels)
        if contours is not None:
            handles.append(_contours(axes, contours))
        axes.set_aspect("equal", adjustable="datalim")
        axes.margins(0.03)
        axes.set_xlabel(axis_names[0])
        axes.set_ylabel(axis_names[1])
        axes.set_title(title, fontsize=9)
        if handles:
            canvas.legend(
                handles=handles, loc="outside right center", fontsize=8, ncols=1 + len(handles) // 21
            )


def _points(axes: Axes, coordinates: Tensor, labels: Tensor | None) -> list[Line2D]:
    """Draws the points; gives the entries of a legend."""
    if labels is None:
        axes.plot(*coordinates.T.numpy(), ".", color=ALONE, markersize=3, alpha=0.6)
        return []
    classes, counts = labels.unique(return_counts=True)
    shown = classes[counts.argsort(descending=True, stable=True)[:MAX_CLASSES]].sort().values
    handles = []
    others = coordinates[~labels.unsqueeze(1).eq(shown).any(1)]
    if len(others):
        handles += axes.plot(*others.T.numpy(), ".", color=OTHERS, markersize=3, label="others")
    for place, name in enumerate(shown.tolist()):
        style: Any = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        points = coordinates[labels == name]
        axes.plot(*points.T.numpy(), linestyle="none", markersize=3, alpha=0.7, **style)
        handles.append(Line2D([], [], linestyle="none", markersize=5, label=str(name), **style))
    for name in shown.tolist():
        _name(axes, str(name), coordinates[labels == name].median(0).values)
    return handles


def _name(axes: Axes, name: str, at: Tensor) -> None:
    halo = [effects.withStroke(linewidth=2.5, foreground="white")]
    axes.annotate(
        name,
        (float(at[0]), float(at[1])),
        ha="center",
        va="center",
        weight="bold",
        color="black",
        path_effects=halo,
    )


def _contours(axes: Axes, contours: Contours) -> Line2D:
    drawn = axes.contour(
        contours.first.numpy(),
        contours.second.numpy(),
        contours.log_p.numpy(),
        levels=sorted(contours.levels),
        colors="black",
        linewidths=0.9,
        linestyles="dashed",
    )
    axes.clabel(drawn, fmt=dict(contours.levels), fontsize=7)
    return Line2D([], [], color="black", linewidth=0.9, linestyle="dashed", label="mass of p(z) inside")
