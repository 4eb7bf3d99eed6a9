"""A metric against the scientific axes of a sweep."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from vae_lab.applications.gradients.figures.variance import COLOURS
from vae_lab.figures.labels import label
from vae_lab.figures.style import figure
from vae_lab.sweep.table import Results


def draw_against(results: Results, folder: Path) -> list[Path]:
    """Draws the metric of a sweep against its scientific axes."""
    axes, metric = results.manifest.axes("scientific"), results.manifest.metric
    if results.settings.is_empty() or not axes:
        return []
    measured = results.settings.filter(pl.col(metric).is_not_null())
    if measured.is_empty():
        return []
    path = folder / "figure.png"
    draw_metric(measured, axes, metric, path)
    return [path]


def draw_metric(table: pl.DataFrame, axes: Sequence[str], metric: str, path: Path) -> None:
    """Draws a metric against the first axis, a line or a row of dots for each value of the others.

    Args:
        table: A row for each setting: the axes, the metric, `low` and `high`.
        axes: Names of the axes; the first that varies goes along the figure.
        metric: Name of the metric's column.
        path: Where the PNG goes.
    """
    axes = [axis for axis in axes if table[axis].n_unique() > 1] or axes[:1]
    first, others = axes[0], list(axes[1:])
    lines = (
        {", ".join(map(str, key)): part for key, part in table.group_by(others, maintain_order=True)}
        if others
        else {"": table}
    )
    numbers = table[first].cast(pl.Float64, strict=False)
    numeric = numbers.null_count() == 0 and numbers.n_unique() > 1
    positions = numbers.to_list() if numeric else list(range(table[first].n_unique()))
    names = table[first].unique(maintain_order=True).to_list()
    between = min(0.12, 0.8 / len(lines))  # dots of one row
    height = 3.2 if numeric else 0.9 + max(0.32, 0.15 * len(lines)) * len(names)
    width = 5.0 + (0.0 if numeric else 0.05 * max(0, max(map(len, map(str, names))) - 20))
    with figure(path, width, height) as canvas:
        panel = canvas.subplots()
        for index, (name, rows) in enumerate(lines.items()):
            colour = COLOURS[index % len(COLOURS)]
            middle = rows[metric].to_list()
            spread = [(rows[metric] - rows["low"]).to_list(), (rows["high"] - rows[metric]).to_list()]
            if numeric:
                x = rows[first].cast(pl.Float64).to_list()
                order = sorted(range(len(x)), key=x.__getitem__)
                panel.errorbar(
                    [x[i] for i in order],
                    [middle[i] for i in order],
                    [[side[i] for i in order] for side in spread],
                    marker="o", markersize=4, capsize=2, color=colour, label=label(name),
                )  # fmt: skip
            else:
                shift = between * (index - (len(lines) - 1) / 2)
                y = [names.index(value) + shift for value in rows[first]]
                panel.errorbar(
                    middle, y, xerr=spread,
                    linestyle="none", marker="o", markersize=5, capsize=2, color=colour, label=label(name),
                )  # fmt: skip
        _along(panel, first, metric, positions, names, numeric)
        if others:
            handles = panel.get_legend_handles_labels()
            canvas.legend(*handles, loc="outside right center", fontsize=8, title=", ".join(others))


def _along(
    panel: Axes, first: str, metric: str, positions: Sequence[float], names: Sequence[str], numeric: bool
) -> None:
    text = words(metric) + (" (nats per datum)" if metric.startswith(("validation/", "test/")) else "")
    name = first.replace("_", " ")
    if numeric:
        if min(positions) > 0 and max(positions) / min(positions) > 20:
            panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(sorted(set(positions))))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticklabels([f"{value:g}" for value in sorted(set(positions))])
        panel.set_xlabel({"latent dim": "latent dimensions"}.get(name, name))
        panel.set_ylabel(text)
        return
    panel.set_yticks(range(len(names)), [label(str(name)) for name in names])
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel(text)
    panel.tick_params(axis="y", length=0)


def words(metric: str) -> str:
    """A metric's name as words.

    Example:
        >>> words("test/elbo"), words("test/log_likelihood")
        ('test ELBO', 'test log-likelihood')
    """
    return metric.replace("/", " ").replace("elbo", "ELBO").replace("_", "-")
