"""The bound against training samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.ticker import EngFormatter

from vae_lab.figures.style import COLOURS, figure

LABELS = {
    "elbo": "evidence lower bound",
    "log_likelihood_hmc": "marginal log-likelihood",
    "reconstruction": "reconstruction log p(x|z)",
}
SPLITS = {
    "train": "training (running average)",
    "train_curve": "training",
    "validation": "validation",
    "test_curve": "test",
}


def learning_curve(
    rows: Sequence[Mapping[str, str]], metric: str, path: Path, exact: float | None = None
) -> None:
    """Draws a metric of the training minibatches and of the parts followed; nothing if there is none.

    Args:
        rows: Rows of `metrics.csv`.
        metric: Name without its split, such as `elbo`.
        path: Where the PNG goes.
        exact: The exact log-likelihood of the validation data where it is known.
    """
    lines = {split: _points(rows, f"{split}/{metric}") for split in SPLITS}
    if not any(lines.values()):
        return
    with figure(path, 4.8, 3.2) as canvas:
        axes = canvas.subplots()
        shown: list[float] = [] if exact is None else [exact]
        for split, points in lines.items():
            if points:
                axes.plot(*zip(*points, strict=True), color=COLOURS[split], label=SPLITS[split])
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


def _points(rows: Sequence[Mapping[str, str]], name: str) -> list[tuple[float, float]]:
    return [(float(row["samples"]), float(row[name])) for row in rows if row.get(name)]
