"""The bound against training samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import EngFormatter

from vae_lab.figures.style import COLOURS, figure

LABELS = {"elbo": "evidence lower bound", "reconstruction": "reconstruction log p(x|z)"}


def learning_curve(
    rows: Sequence[Mapping[str, str]], metric: str, path: Path, exact: float | None = None
) -> None:
    """Draws a metric of the training minibatches and of the validation split.

    Args:
        rows: Rows of `metrics.csv`.
        metric: Name without its split, such as `elbo`.
        path: Where the PNG goes.
        exact: The exact log-likelihood of the validation data where it is known.
    """
    with figure(path, 4.8, 3.2) as canvas:
        axes = canvas.subplots()
        labels = {"train": "training (running average)", "validation": "validation"}
        shown: list[float] = [] if exact is None else [exact]
        for split, label in labels.items():
            name = f"{split}/{metric}"
            points = [(float(row["samples"]), float(row[name])) for row in rows if row.get(name)]
            if points:
                axes.plot(*zip(*points, strict=True), color=COLOURS[split], label=label)
                values = sorted(value for _, value in points)
                shown += values[len(values) // 20 :]  # the first steps lie far below
        if exact is not None:
            axes.axhline(exact, color=COLOURS["exact"], linewidth=1, linestyle="--", label="exact log p(x)")
        margin = 0.1 * (max(shown) - min(shown)) or 1.0
        axes.set_ylim(min(shown) - margin, max(shown) + margin)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("training samples")
        axes.set_ylabel(f"{LABELS.get(metric, metric)}\n(nats per datum)")
        axes.legend(loc="lower right")
