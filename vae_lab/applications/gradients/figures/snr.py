"""The signal-to-noise ratio of gradient estimators against the number of samples, and how it grows."""

from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullFormatter

from vae_lab.applications.gradients.figures.variance import COLOURS, MARKERS
from vae_lab.figures.labels import label
from vae_lab.figures.style import figure

PANELS = {"encoder": "encoder", "decoder": "decoder"}
SLOPES_FROM = 10  # the theory is one of many samples


def draw_signal_to_noise(table: pl.DataFrame, folder: Path) -> list[Path]:
    """Draws a row of panels for each state, and writes the slopes on log-log axes.

    The ratio is the length of the mean gradient over the square root of the trace of its covariance; where
    the noise hides the mean there is none.

    References:
        Tighter variational bounds are not necessarily better (Rainforth et al., 2018), section 3.

    Args:
        table: Rows of several `gradients.parquet` that differ in `num_samples`.
        folder: Where `figure.png` and `slopes.csv` go.
    """
    table = table.filter(pl.col("group").is_in(list(PANELS)), pl.col("snr") > 0).sort("num_samples")
    if table.is_empty():
        return []
    if "setting" not in table.columns:
        table = table.with_columns(pl.lit("").alias("setting"))
    states = table.select("setting", "samples").unique().sort("setting", "samples").rows()
    names = table["estimator"].unique(maintain_order=True).to_list()
    slopes = []
    with figure(folder / "figure.png", 7.4, 0.5 + 2.7 * len(states)) as canvas:
        panels = canvas.subplots(len(states), len(PANELS), squeeze=False)
        for row, (setting, samples) in zip(panels, states, strict=True):
            of_state = table.filter(pl.col("setting") == setting, pl.col("samples") == samples)
            for axes, (group, title) in zip(row, PANELS.items(), strict=True):
                rows = of_state.filter(pl.col("group") == group)
                where = {"setting": setting, "samples": samples, "group": group}
                slopes += [where | slope for slope in _panel(axes, rows, names)]
                words = f"{title}, after {samples:,} training samples" + (f"\n{setting}" if setting else "")
                axes.set_title(words, fontsize=9)
            row[0].set_ylabel("signal-to-noise ratio")
        for axes in panels[-1]:
            axes.set_xlabel("samples per datum K")
    pl.DataFrame(slopes).write_csv(folder / "slopes.csv", float_precision=3)
    return [folder / "figure.png", folder / "slopes.csv"]


def _panel(axes: Axes, rows: pl.DataFrame, names: list[str]) -> list[dict[str, float | str | None]]:
    slopes: list[dict[str, float | str | None]] = []
    for index, name in enumerate(names):
        of_estimator = rows.filter(pl.col("estimator") == name)
        if of_estimator.is_empty():
            continue
        slope = log_slope(of_estimator.filter(pl.col("num_samples") >= SLOPES_FROM))
        biased = (of_estimator["declared_bias"] != "").any()
        text = (
            label(name) + ("" if slope is None else f", slope {slope:+.2f}") + (", biased" if biased else "")
        )
        colour = COLOURS[index % len(COLOURS)]
        inside = "white" if biased else colour
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(
            of_estimator["num_samples"],
            of_estimator["snr"],
            color=colour,
            marker=marker,
            markerfacecolor=inside,
            markersize=4,
            label=text,
        )
        slopes.append({"estimator": name, "slope": slope})
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = rows["num_samples"].unique().sort().to_list()
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xticklabels([f"{value:,}" for value in values])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(fontsize=7)
    return slopes


def log_slope(rows: pl.DataFrame) -> float | None:
    """The exponent of the ratio's growth with K, by least squares; None from fewer than two numbers."""
    if rows["num_samples"].n_unique() < 2:
        return None
    return float(np.polyfit(np.log(rows["num_samples"]), np.log(rows["snr"]), 1)[0])
