"""The variance of gradient estimators: side by side, along training, against sizes, and at equal cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

from vae_lab.figures.style import figure

COLOURS = (
    "#0b5cad", "#c44e2b", "#3a8f5c", "#8a5aa8", "#c79a1e", "#3aa0b5",
    "#b5476f", "#6b7a2f", "#5a5a5a", "#8c5a3c", "#1f3f77", "#d98a6b",
)  # fmt: skip
MARKERS = "os^Dv<>pPXh*"
LABELS = {
    "outputs": "encoder outputs",
    "encoder": "encoder parameters",
    "decoder": "decoder parameters",
}
AXES = {
    "samples": "training samples",
    "latent_dim": "latent dimensions",
    "num_samples": "samples per datum K",
}
GREY = "#5a5a5a"
UNIT = "variance per coordinate (nats²)"


def draw_gradients(table: pl.DataFrame, folder: Path) -> dict[str, Path]:
    """Draws the estimators side by side, and a line plot for each axis that varies.

    Args:
        table: Rows of one or several `gradients.parquet`.
        folder: Where the PNG files go.

    Returns:
        The paths by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = _with_states(table.filter(pl.col("variance").is_finite() & (pl.col("variance") > 0)))
    if table.is_empty():
        return {}
    paths = {"variance": folder / "variance.png", "equal_cost": folder / "variance_at_equal_cost.png"}
    side_by_side(table, paths["variance"])
    equal_cost(table.filter(pl.col("group") == "encoder"), paths["equal_cost"])
    for axis in AXES:
        varying = _varying(table, axis)
        if not varying.is_empty():
            paths[axis] = folder / f"variance_against_{axis}.png"
            against(varying, axis, paths[axis])
    return paths


def side_by_side(table: pl.DataFrame, path: Path) -> None:
    """The variance of each estimator with its interval, a panel for each part of the model."""
    groups = [group for group in LABELS if group in table["group"].to_list()]
    names = table["estimator"].unique(maintain_order=True).to_list()
    states = _states(table)
    with figure(path, 1.8 + 2.5 * len(groups), 1.1 + 0.27 * len(names)) as canvas:
        panels = canvas.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, group in zip(panels, groups, strict=True):
            for index, state in enumerate(states):
                rows = table.filter((pl.col("group") == group) & (pl.col("_state") == state))
                shift = (index - (len(states) - 1) / 2) * 0.2
                _dots(axes, rows, names, "variance", COLOURS[index], shift)
                if group != "outputs":
                    _over_minibatches(axes, rows, names, COLOURS[index], shift)
            axes.set_title(LABELS[group], fontsize=9)
            axes.set_xlabel(UNIT)
        _name_rows(panels[0], names)
        _legend(canvas, panels[0], states, bars=True, biased=_has_biased(table))


def equal_cost(table: pl.DataFrame, path: Path) -> None:
    """The variance of the encoder's gradient at the cost of one decoder evaluation, and of one second."""
    names = table["estimator"].unique(maintain_order=True).to_list()
    columns = {
        "variance_times_evaluations": "variance × decoder evaluations",
        "variance_times_seconds": "variance × seconds",
    }
    states = _states(table)
    with figure(path, 1.8 + 2.5 * 2, 1.1 + 0.27 * len(names)) as canvas:
        panels = canvas.subplots(1, 2, sharey=True)
        for axes, (column, label) in zip(panels, columns.items(), strict=True):
            for index, state in enumerate(states):
                rows = table.filter(pl.col("_state") == state)
                _dots(axes, rows, names, column, COLOURS[index], (index - (len(states) - 1) / 2) * 0.2)
            axes.set_xlabel(label)
        _name_rows(panels[0], names)
        _legend(canvas, panels[0], states, bars=False, biased=_has_biased(table))


def against(table: pl.DataFrame, axis: str, path: Path) -> None:
    """The variance of each estimator against training samples, latent size or K, on log axes."""
    groups = [group for group in LABELS if group in table["group"].to_list()]
    names = table["estimator"].unique(maintain_order=True).to_list()
    with figure(path, 0.9 + 2.7 * len(groups) + 1.3, 3.2) as canvas:
        panels = canvas.subplots(1, len(groups), squeeze=False)[0]
        for axes, group in zip(panels, groups, strict=True):
            for index, name in enumerate(names):
                rows = table.filter((pl.col("group") == group) & (pl.col("estimator") == name))
                _line(axes, rows.sort(axis), axis, index, name)
            _log_axis(axes, axis, table[axis].unique().sort().to_list())
            axes.set_title(LABELS[group], fontsize=9)
        panels[0].set_ylabel(UNIT)
        canvas.legend(
            *panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=8, frameon=False
        )


def label(name: str) -> str:
    """A configuration's name as words, with the field's own capitals.

    Example:
        >>> label("stl_iwae"), label("score_function")
        ('STL IWAE', 'score function')
    """
    capitals = {
        "iwae": "IWAE",
        "dreg": "DReG",
        "stl": "STL",
        "vimco": "VIMCO",
        "rloo": "RLOO",
        "nvil": "NVIL",
    }
    return " ".join(capitals.get(word, word) for word in name.split("_"))


def _with_states(table: pl.DataFrame) -> pl.DataFrame:
    """A column that names what the rows of one estimator differ in."""
    form = EngFormatter(sep="")
    words = {"samples": "{} training samples", "latent_dim": "{} latent dimensions", "seed": "seed {}"}
    varying = [name for name in words if table[name].n_unique() > 1] or ["samples"]
    states = [", ".join(words[name].format(form(row[name])) for name in varying) for row in table.to_dicts()]
    return table.with_columns(pl.Series("_state", states))


def _has_biased(table: pl.DataFrame) -> bool:
    return bool((table["declared_bias"] != "").any())


def _states(table: pl.DataFrame) -> list[str]:
    return table["_state"].unique(maintain_order=True).to_list()


def _dots(
    axes: Axes, rows: pl.DataFrame, names: Sequence[str], column: str, colour: str, shift: float
) -> None:
    for row in rows.to_dicts():
        scale = row[column] / row["variance"]
        low, high = scale * row["variance_low"], scale * row["variance_high"]
        position = names.index(row["estimator"]) + shift
        axes.plot([low, high], [position] * 2, color=colour, linewidth=2.2, alpha=0.45)
        inside = "white" if row["declared_bias"] else colour
        axes.plot(row[column], position, "o", color=colour, markerfacecolor=inside, markersize=4)


def _over_minibatches(
    axes: Axes, rows: pl.DataFrame, names: Sequence[str], colour: str, shift: float
) -> None:
    """A bar at the variance over minibatches of the estimator's mean."""
    for row in rows.to_dicts():
        value = row["minibatch_trace"] / row["num_parameters"]
        if value > 0:
            axes.plot(value, names.index(row["estimator"]) + shift, "|", color=colour, markersize=6)


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    for panel in axes.figure.axes:
        panel.set_xscale("log")
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(visible=False, axis="y")


def _legend(canvas: Any, axes: Axes, states: Sequence[str], *, bars: bool, biased: bool) -> None:
    handles = [
        axes.plot([], [], "o", color=COLOURS[index], markersize=4, label=state)[0]
        for index, state in enumerate(states)
    ]
    if biased:
        handles += axes.plot([], [], "o", color=GREY, markerfacecolor="white", markersize=4, label="biased")
    if bars:
        handles += axes.plot([], [], "|", color=GREY, markersize=6, label="variance over minibatches")
    canvas.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _line(axes: Axes, rows: pl.DataFrame, axis: str, index: int, name: str) -> None:
    """A line with its interval; later ones are thinner, so that one that is covered still shows."""
    x, colour = _positions(rows[axis].to_list()), COLOURS[index % len(COLOURS)]
    axes.plot(
        x,
        rows["variance"],
        color=colour,
        label=label(name),
        marker=MARKERS[index % len(MARKERS)],
        markersize=4,
        linewidth=max(0.8, 3 - 0.25 * index),
    )
    axes.fill_between(x, rows["variance_low"], rows["variance_high"], color=colour, alpha=0.2, linewidth=0)


def _positions(values: Sequence[float]) -> list[float]:
    """Values on a log axis, on which 0, the state before training, has a place left of the others."""
    positive = [value for value in values if value > 0]
    start = min(positive, default=1.0) / 10
    return [value if value > 0 else start for value in values]


def _log_axis(axes: Axes, axis: str, values: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high > 10 * low:
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(AXES[axis])
    axes.xaxis.set_major_locator(FixedLocator(_positions(values)))
    axes.xaxis.set_minor_locator(FixedLocator([]))
    form = EngFormatter(sep="")
    axes.set_xticklabels([form(value) for value in values])


def _varying(table: pl.DataFrame, axis: str) -> pl.DataFrame:
    """The rows of the estimators for which the axis has several values."""
    counts = table.group_by("estimator").agg(pl.col(axis).n_unique().alias("values"))
    several = counts.filter(pl.col("values") > 1)["estimator"]
    return table.filter(pl.col("estimator").is_in(several.to_list()))
