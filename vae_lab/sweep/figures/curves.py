"""Learning curves of several settings, each a mean over seeds with its interval."""

from pathlib import Path

import polars as pl
from matplotlib.ticker import EngFormatter

from vae_lab.applications.gradients.figures.variance import COLOURS
from vae_lab.figures.labels import label
from vae_lab.figures.style import figure


def curves(table: pl.DataFrame, metric: str, path: Path) -> None:
    """Draws a metric against training samples, one line for each setting.

    The limits are those of the settings that end better than they began; where another one ends is said.

    Args:
        table: Columns `setting`, `samples`, `mean`, `low` and `high`.
        metric: What is drawn, for the label.
        path: Where the PNG goes.
    """
    values = table["setting"].unique(maintain_order=True).to_list()
    lines = {value: table.filter(pl.col("setting") == value).sort("samples") for value in values}
    ends = {value: float(rows["mean"][-1]) for value, rows in lines.items()}
    rising = [end for value, end in ends.items() if end > lines[value]["mean"][0]] or list(ends.values())
    spread = max(max(rising) - min(rising), 1.0)
    bottom = min(rising) - spread
    with figure(path, 6.4, 3.6) as canvas:
        axes = canvas.subplots()
        for index, (value, rows) in enumerate(lines.items()):
            colour = COLOURS[index % len(COLOURS)]
            name = label(str(value))
            if ends[value] < bottom:  # its interval would cover the others
                axes.plot(
                    rows["samples"], rows["mean"], color=colour, label=f"{name}\n(ends at {ends[value]:,.0f})"
                )
                continue
            axes.plot(rows["samples"], rows["mean"], color=colour, label=name)
            axes.fill_between(
                rows["samples"], rows["low"], rows["high"], color=colour, alpha=0.2, linewidth=0
            )
        axes.set_ylim(bottom, max(rising) + 0.1 * spread)
        axes.set_xscale("log")
        axes.set_xlim(left=min(table.filter(pl.col("mean") > bottom)["samples"].to_list()))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("training samples")
        axes.set_ylabel(f"{metric} (nats per datum)")
        canvas.legend(
            *axes.get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False
        )
