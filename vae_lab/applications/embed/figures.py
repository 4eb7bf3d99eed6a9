"""Accuracy of classifiers against the number of labels."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from vae_lab.applications.embed.probing_codes import CLASSIFIERS, Score
from vae_lab.figures.style import figure

NAMES = {"code": "code", "pca": "PCA", "pixels": "pixels"}
LOOK = {"code": ("#0b5cad", "o"), "pca": ("#3a8f5c", "^"), "pixels": ("#c44e2b", "s")}
APART = 1.04  # between the dots of two features, along the axis


def accuracy(scores: Sequence[Score], chance: float, neighbours: int, path: Path) -> None:
    """Draws a panel for each classifier, a line for each of the features, with a standard error either side.

    Args:
        scores: For every classifier, features and number of labels.
        chance: Accuracy of always saying the most frequent class.
        neighbours: How many the classifier by nearest neighbours asks.
        path: Where the PNG goes.
    """
    titles = {"linear": "linear probe", "knn": f"{neighbours} nearest neighbours"}
    with figure(path, 6.4, 2.9) as canvas:
        panels = canvas.subplots(1, len(CLASSIFIERS), sharey=True)
        for panel, kind in zip(panels, CLASSIFIERS, strict=True):
            _draw(panel, [score for score in scores if score.classifier == kind])
            panel.axhline(chance, color="#8a8a8a", linestyle=":", linewidth=1, label="chance")
            panel.set_title(titles[kind], fontsize=9)
            panel.set_xlabel("labels")
        panels[0].set_ylim(bottom=0)
        panels[0].set_ylabel("accuracy on test data ± s.e.")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        handles, names = panels[0].get_legend_handles_labels()
        order = sorted(range(len(names)), key=lambda place: names[place] == "chance")
        canvas.legend(
            [handles[place] for place in order], [names[place] for place in order], loc="outside right center"
        )


def _draw(panel: Axes, scores: Sequence[Score]) -> None:
    names = [name for name in NAMES if name in {score.features for score in scores}]
    sizes = sorted({score.labels for score in scores})
    for place, name in enumerate(names):
        of_name = sorted((score for score in scores if score.features == name), key=lambda each: each.labels)
        colour, marker = LOOK[name]
        panel.errorbar(
            [score.labels * APART ** (place - 1) for score in of_name],
            [score.mean for score in of_name],
            [score.standard_error or 0 for score in of_name],
            color=colour, marker=marker, markersize=4, capsize=2, label=NAMES[name],
        )  # fmt: skip
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(_apart(sizes)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticklabels([f"all {each:,}" if each == sizes[-1] else f"{each:,}" for each in _apart(sizes)])


def _apart(sizes: Sequence[int]) -> list[int]:
    """Those whose names have room beside the last."""
    return [count for count in sizes if count == sizes[-1] or 2.5 * count < sizes[-1]]
