"""The look that all figures share."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = {
    "train": "#8a8a8a",
    "train_curve": "#5a5a5a",
    "validation": "#0b5cad",
    "test_curve": "#3b8a4e",
    "exact": "#c44e2b",
}

MISSING = "#d8c39a"  # of a missing pixel: neither light nor dark, and no grey

STYLE: Any = {
    "figure.dpi": 150,
    "savefig.bbox": "tight",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
}


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in the house style, written as PNG to `path`."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc in the current folder can run LaTeX
        mpl.rcParams.update(STYLE)
        canvas = Figure(figsize=(width, height), layout="constrained")
        yield canvas
        canvas.savefig(path)
