"""The scores of outliers beside those of inliers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from vae_lab.applications.outliers.figures.of_sweep import TITLES
from vae_lab.figures.style import figure

INLIERS, OUTLIERS = "#0b5cad", "#c44e2b"


def histograms(
    scores: Mapping[str, tuple[np.ndarray, np.ndarray]],
    auroc: Mapping[str, float],
    names: Sequence[str],
    path: Path,
) -> None:
    """Draws a panel for each score, with the densities of inliers and outliers.

    Args:
        scores: Of inliers and of outliers.
        auroc: Of each score.
        names: Of inliers and outliers.
        path: Where the PNG goes.
    """
    columns = min(3, len(scores))
    rows = -(-len(scores) // columns)
    with figure(path, 2.5 * columns, 2.1 * rows + 0.3) as canvas:
        panels = canvas.subplots(rows, columns, squeeze=False).flatten()
        for panel, (name, both) in zip(panels, scores.items(), strict=False):
            _histogram(panel, both)
            panel.set_title(f"{TITLES[name]}\nAUROC {auroc[name]:.3f}", fontsize=8)
            panel.set_xlabel("squared error" if name == "reconstruction_error" else "nats", fontsize=7)
        for panel in panels[len(scores) :]:
            panel.set_visible(False)
        handles = panels[0].containers
        canvas.legend(handles, names, loc="outside lower center", ncols=2, fontsize=8)


def _histogram(panel: Axes, both: tuple[np.ndarray, np.ndarray]) -> None:
    together = np.concatenate(both)
    together = together[np.isfinite(together)]
    low, high = np.quantile(together, [0.005, 0.995])
    count = int(np.clip(2 * min(map(len, both)) ** 0.5, 8, 40))
    bins: Any = np.linspace(low, high, count + 1) if high > low else 10
    for values, colour in zip(both, (INLIERS, OUTLIERS), strict=True):
        panel.hist(np.clip(values, low, high), bins=bins, density=True, color=colour, alpha=0.55, linewidth=0)
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.tick_params(labelsize=7)
