"""Learning curves of several settings, each a mean over seeds with its interval."""

from pathlib import Path

import polars as pl
from matplotlib.ticker import EngFormatter

from vae_lab.applications.gradients.figures.variance import COLOURS
from vae_lab.figures.labels import label
from vae_lab.figures.style import figure
from vae_lab.sweep.figures.against import words
from vae_lab.sweep.manifest import Manifest
from vae_lab.sweep.table import Results, over_repeats


def draw_curves(results: Results, folder: Path) -> list[Path]:
    """Draws the curve of each setting of a sweep, of the metric that it is judged by."""
    curve = results.manifest.metric.replace("test/", "test_curve/")
    parts = []
    for entry in results.manifest.entries:
        if entry.is_done and not (rows := _curve(entry.directory, curve)).is_empty():
            setting = _setting(results.manifest, entry.point)
            parts.append(rows.with_columns(pl.lit(setting).alias("setting")))
    if not parts:
        return []
    path = folder / "figure.png"
    table = over_repeats(pl.concat(parts), ["setting", "samples"], curve)
    curves(table, words(results.manifest.metric), path)
    return [path]


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


def _setting(manifest: Manifest, point: dict[str, str]) -> str:
    """The label of a compared setting: the values of all axes but the repeats."""
    shown = {name: value for name, value in point.items() if manifest.roles[name] != "repeats"}
    named = ", ".join(f"{name} = {value}" for name, value in shown.items())
    return next(iter(shown.values())) if len(shown) == 1 else named


def _curve(directory: Path, curve: str) -> pl.DataFrame:
    """Samples and values of a curve, without rows for a run that has none."""
    rows = pl.read_csv(directory / "metrics.csv", infer_schema_length=None)
    if curve not in rows.columns:
        return pl.DataFrame()
    return rows.filter(pl.col(curve).is_not_null()).select("samples", curve)
