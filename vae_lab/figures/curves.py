"""Learning curves of several settings, each a mean over seeds with its interval."""

from pathlib import Path

import polars as pl
from matplotlib.ticker import EngFormatter

from vae_lab.figures.gradients import COLOURS, label
from vae_lab.figures.style import figure


def curves(table: pl.DataFrame, axis: str, metric: str, path: Path) -> None:
    """Draws a metric against training samples, one line for each value of an axis.

    Args:
        table: Columns `samples`, `mean`, `low`, `high` and the axis.
        axis: The column whose values are compared.
        metric: What is drawn, for the label.
        path: Where the PNG goes.
    """
    values = table[axis].unique(maintain_order=True).to_list()
    with figure(path, 6.4, 3.6) as canvas:
        axes = canvas.subplots()
        for index, value in enumerate(values):
            rows = table.filter(pl.col(axis) == value).sort("samples")
            colour = COLOURS[index % len(COLOURS)]
            axes.plot(rows["samples"], rows["mean"], color=colour, label=label(str(value)))
            axes.fill_between(
                rows["samples"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
            )
        finals = [table.filter(pl.col(axis) == value).sort("samples")["mean"][-1] for value in values]
        spread = max(finals) - min(finals)
        axes.set_ylim(min(finals) - max(spread, 1.0), max(finals) + 0.1 * max(spread, 1.0))
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("training samples")
        axes.set_ylabel(f"{metric} (nats per datum)")
        canvas.legend(
            *axes.get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False
        )
