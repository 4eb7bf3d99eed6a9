"""The variance of gradient estimators: side by side, along training, against sizes, and at equal cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

from vae_lab.figures.labels import label
from vae_lab.figures.style import figure

COLOURS = (
    "#0b5cad", "#c44e2b", "#3a8f5c", "#8a5aa8", "#c79a1e", "#3aa0b5",
    "#b5476f", "#6b7a2f", "#5a5a5a", "#8c5a3c", "#1f3f77", "#d98a6b",
)  # fmt: skip
GREY = "#5a5a5a"
MARKERS = "os^Dv<>pPXh*"
LINES: Any = ("-", "--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 4)))
PANELS = {
    "outputs": "encoder outputs",
    "encoder": "encoder parameters",
    "decoder": "decoder parameters",
}
AXES = {
    "samples": "training samples",
    "latent_dim": "latent dimensions",
    "num_samples": "samples per datum K",
}
STATES = {
    "setting": "{}",
    "samples": "{} training samples",
    "latent_dim": "{} latent dimensions",
    "seed": "seed {}",
}
UNIT = "variance per coordinate (nats²)"


def draw_variances(table: pl.DataFrame, folder: Path) -> dict[str, Path]:
    """Draws the estimators side by side, and a line plot for each axis that varies.

    Args:
        table: Rows of one or several `gradients.parquet`.
        folder: Where the PNG files go.

    Returns:
        The paths by name.
    """
    table = table.filter(pl.col("variance").is_finite() & (pl.col("variance") > 0))
    if table.is_empty():
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"variance": folder / "variance.png", "equal_cost": folder / "variance_at_equal_cost.png"}
    side_by_side(table, paths["variance"])
    equal_cost(table, paths["equal_cost"])
    for axis in AXES:
        varying = _varying(table, axis)
        if not varying.is_empty():
            paths[axis] = folder / f"variance_against_{axis}.png"
            draw_against_sizes(varying, axis, paths[axis])
    return paths


def side_by_side(table: pl.DataFrame, path: Path) -> None:
    """The variance of each estimator with its interval, a panel for each part of the model."""
    table = _with_state(_with_name(table), STATES)
    parts = {group: title for group, title in PANELS.items() if group in table["group"]}
    with figure(path, 1.8 + 2.5 * len(parts), _height(table)) as canvas:
        panels = canvas.subplots(1, len(parts), sharey=True, squeeze=False)[0]
        for axes, (group, title) in zip(panels, parts.items(), strict=True):
            rows = table.filter(pl.col("group") == group)
            _dots(axes, rows, "variance")
            if group != "outputs":
                _over_minibatches(axes, rows)
            axes.set_title(title, fontsize=9)
            axes.set_xlabel(UNIT)
        _finish_rows(canvas, panels[0], table, bars=True)


def equal_cost(table: pl.DataFrame, path: Path) -> None:
    """The variance of the encoder's gradient at the cost of one decoder evaluation, and of one second."""
    table = _with_state(_with_name(table.filter(pl.col("group") == "encoder")), STATES)
    columns = {
        "variance_times_evaluations": "variance × decoder evaluations",
        "variance_times_seconds": "variance × seconds",
    }
    with figure(path, 1.8 + 2.5 * 2, _height(table)) as canvas:
        panels = canvas.subplots(1, 2, sharey=True)
        for axes, (column, title) in zip(panels, columns.items(), strict=True):
            _dots(axes, table, column)
            axes.set_title("encoder parameters", fontsize=9)
            axes.set_xlabel(title)
        _finish_rows(canvas, panels[0], table, bars=False)


def draw_against_sizes(table: pl.DataFrame, axis: str, path: Path) -> None:
    """The variance of each estimator against training samples, latent size or K, on log axes."""
    table = _with_state(table, {name: text for name, text in STATES.items() if name != axis})
    names, states = _values(table, "estimator"), _values(table, "_state")
    parts = {group: title for group, title in PANELS.items() if group in table["group"]}
    with figure(path, 0.9 + 2.7 * len(parts) + 1.3, 3.2) as canvas:
        panels = canvas.subplots(1, len(parts), squeeze=False)[0]
        for axes, (group, title) in zip(panels, parts.items(), strict=True):
            rows = table.filter(pl.col("group") == group).sort(axis)
            for index, name in enumerate(names):
                for place, state in enumerate(states):
                    of_estimator = rows.filter((pl.col("estimator") == name) & (pl.col("_state") == state))
                    line = LINES[place % len(LINES)]
                    _line(axes, of_estimator, axis, index, line, "_" if place else label(name))
            _log_axes(axes, axis, table[axis].unique().sort().to_list())
            axes.set_title(title, fontsize=9)
        for place, state in enumerate(states if len(states) > 1 else []):
            panels[0].plot([], [], linestyle=LINES[place % len(LINES)], color=GREY, label=state)
        panels[0].set_ylabel(UNIT)
        canvas.legend(
            *panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False
        )


def _with_name(table: pl.DataFrame) -> pl.DataFrame:
    """A column `_name`: the estimator, with K where one estimator comes with several."""
    several = _varying(table, "num_samples")["estimator"].unique().to_list()
    names = [
        label(row["estimator"]) + (f", K = {row['num_samples']}" if row["estimator"] in several else "")
        for row in table.to_dicts()
    ]
    return table.with_columns(pl.Series("_name", names))


def _with_state(table: pl.DataFrame, columns: dict[str, str]) -> pl.DataFrame:
    """A column `_state` that says in words what distinguishes rows of one estimator."""
    form = EngFormatter(sep="")
    there = [name for name in columns if name in table.columns]
    varying = [name for name in there if table[name].n_unique() > 1]
    varying = varying or [name for name in there if name == "samples"]
    states = [
        ", ".join(
            STATES[name].format(row[name] if isinstance(row[name], str) else form(row[name]))
            for name in varying
        )
        for row in table.to_dicts()
    ]
    return table.with_columns(pl.Series("_state", states))


def _varying(table: pl.DataFrame, axis: str) -> pl.DataFrame:
    """The rows of the estimators for which the axis has several values."""
    counts = table.group_by("estimator").agg(pl.col(axis).n_unique().alias("values"))
    several = counts.filter(pl.col("values") > 1)["estimator"]
    return table.filter(pl.col("estimator").is_in(several.to_list()))


def _values(table: pl.DataFrame, column: str) -> list[str]:
    """The values of a column; names in the order of the estimators, then of K."""
    if column == "_name":
        order = {name: place for place, name in enumerate(_values(table, "estimator"))}
        keys = {row["_name"]: (order[row["estimator"]], row["num_samples"]) for row in table.to_dicts()}
        return sorted(keys, key=lambda name: keys[name])
    return table[column].unique(maintain_order=True).to_list()


def _height(table: pl.DataFrame) -> float:
    return 1.3 + 0.27 * table["_name"].n_unique()


def _position(table: pl.DataFrame, row: dict[str, Any]) -> tuple[float, str]:
    """Where a row of the table stands on the axis of estimators, and the colour of its state."""
    states = _values(table, "_state")
    index = states.index(row["_state"])
    shift = (index - (len(states) - 1) / 2) * min(0.2, 0.7 / len(states))
    return _values(table, "_name").index(row["_name"]) + shift, COLOURS[index % len(COLOURS)]


def _dots(axes: Axes, table: pl.DataFrame, column: str) -> None:
    for row in table.to_dicts():
        position, colour = _position(table, row)
        scale = row[column] / row["variance"]
        low, high = scale * row["variance_low"], scale * row["variance_high"]
        axes.plot([low, high], [position] * 2, color=colour, linewidth=2.2, alpha=0.45)
        inside = "white" if row["declared_bias"] else colour
        axes.plot(row[column], position, "o", color=colour, markerfacecolor=inside, markersize=4)


def _over_minibatches(axes: Axes, table: pl.DataFrame) -> None:
    """A bar at the variance over minibatches of the estimator's mean."""
    for row in table.to_dicts():
        position, colour = _position(table, row)
        value = row["minibatch_trace"] / row["num_parameters"]
        if value > 0:
            axes.plot(value, position, "|", color=colour, markersize=6)


def _finish_rows(canvas: Any, axes: Axes, table: pl.DataFrame, *, bars: bool) -> None:
    """Names, scales and the legend of a figure with a row for each estimator."""
    names, states = _values(table, "_name"), _values(table, "_state")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    for panel in canvas.axes:
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(visible=False, axis="y")
    handles = [
        axes.plot([], [], "o", color=COLOURS[index % len(COLOURS)], markersize=4, label=state)[0]
        for index, state in enumerate(states)
    ]
    if (table["declared_bias"] != "").any():
        handles += axes.plot([], [], "o", color=GREY, markerfacecolor="white", markersize=4, label="biased")
    if bars and table["minibatch_trace"].is_finite().any():
        handles += axes.plot([], [], "|", color=GREY, markersize=6, label="variance over minibatches")
    canvas.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)


def _line(axes: Axes, rows: pl.DataFrame, axis: str, index: int, line: Any, name: str) -> None:
    """A line with its interval; later ones are thinner, so that one that is covered still shows."""
    x, colour = _places(rows[axis].to_list()), COLOURS[index % len(COLOURS)]
    axes.plot(
        x,
        rows["variance"],
        linestyle=line,
        color=colour,
        label=name,
        marker=MARKERS[index % len(MARKERS)],
        markersize=4,
        linewidth=max(0.8, 2.6 - 0.2 * index),
    )
    axes.fill_between(x, rows["variance_low"], rows["variance_high"], color=colour, alpha=0.2, linewidth=0)


def _places(values: Sequence[float]) -> list[float]:
    """Values on a log axis, on which 0, the state before training, has a place left of the others."""
    start = min((value for value in values if value > 0), default=1.0) / 10
    return [value if value > 0 else start for value in values]


def _log_axes(axes: Axes, axis: str, values: Sequence[float]) -> None:
    form = EngFormatter(sep="")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(AXES[axis])
    axes.xaxis.set_major_locator(FixedLocator(_places(values)))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.set_xticklabels([form(value) for value in values])
    low, high = axes.get_ylim()
    if high > 10 * low:
        axes.yaxis.set_minor_formatter(NullFormatter())
