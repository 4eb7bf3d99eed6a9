"""Figures 2 and 3 of Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter

from vae_lab.applications.gradients.figures.variance import COLOURS
from vae_lab.figures.style import figure
from vae_lab.files.markdown import markdown_table
from vae_lab.files.writing import write_atomically
from vae_lab.reproductions import exact_variances as exact
from vae_lab.reproductions.mohamed2020.crossings import crossings, exact_variance, measured_variances
from vae_lab.sweep.table import Results

INK = "#222222"


class Look(NamedTuple):
    """How an estimator is drawn."""

    name: str
    colour: str
    marker: str


LOOKS = {
    "score_function": Look("score function", COLOURS[1], "o"),
    "optimal_scaling": Look("score function, optimal baseline", COLOURS[4], "s"),
    "reparameterized": Look("pathwise", COLOURS[0], "^"),
    "measure_valued": Look("measure-valued, coupled", COLOURS[2], "D"),
}
PARAMETERS: dict[exact.Parameter, str] = {"mean": "μ", "std": "σ"}
FORMULAS = {"quadratic": "(x − k)²", "bell": "exp(−kx²)", "cosine": "cos kx"}
KS = {
    "quadratic": np.linspace(-3, 3, 121),
    "bell": np.geomspace(0.1, 10, 100),
    "cosine": np.geomspace(0.5, 5, 100),
}
TICKS: dict[str, list[float]] = {
    "quadratic": [-3, -2, -1, 0, 1, 2, 3],
    "bell": [0.1, 0.3, 1, 3, 10],
    "cosine": [0.5, 1, 2, 5],
}
LIMITS: dict[str, dict[str, tuple[float, float]]] = {
    "quadratic": {"mean": (1, 2e3), "std": (1, 2e3)},
    "bell": {"mean": (1e-3, 1.4), "std": (1e-3, 1.4)},
    "cosine": {"mean": (5e-3, 20), "std": (5e-2, 20)},
}


def figures2_and_3(results: Results, folder: Path) -> list[Path]:
    r"""Draws the variance of gradients of $E f(x; k)$ by the parameters of $N(\mu, \sigma^2)$ at (1, 1).

    Lines are exact; points are what our estimators were measured to have: the variance of the mean of `K`
    samples, times `K`, with a 95 % interval. `crossings.csv` has where the lines cross, by root finding, and
    where the measured ones do.

    References:
        Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), figures 2
        and 3.

    Args:
        results: Those of the sweep, of measurements of `model=mohamed2020`, finished or not.
        folder: Where `figure.png`, `variances.csv`, `crossings.csv` and `crossings.md` go.

    Raises:
        UserError: If the published numbers are missing or malformed.
    """
    measured = measured_variances(results.manifest)
    if measured.is_empty():
        return []
    crossing_points = crossings(measured)
    write_atomically(folder / "variances.csv", measured.write_csv(float_precision=6))
    write_atomically(folder / "crossings.csv", crossing_points.write_csv(float_precision=4))
    write_atomically(folder / "crossings.md", _markdown(crossing_points))
    _draw(measured, crossing_points, folder / "figure.png")
    return [folder / name for name in ("figure.png", "variances.csv", "crossings.csv", "crossings.md")]


def _draw(measured: pl.DataFrame, crossing_points: pl.DataFrame, path: Path) -> None:
    functions = [function for function in FORMULAS if function in measured["function"]]
    names = [name for name in LOOKS if name in measured["estimator"]]
    with figure(path, 7.4, 0.9 + 2.3 * len(functions)) as canvas:
        panels = canvas.subplots(len(functions), 2, squeeze=False)
        for row, function in zip(panels, functions, strict=True):
            for axes, (parameter, letter) in zip(row, PARAMETERS.items(), strict=True):
                where = [pl.col("function") == function, pl.col("parameter") == parameter]
                _lines(axes, function, parameter, names)
                _points(axes, measured.filter(where), names, LIMITS[function][parameter])
                _rings(axes, crossing_points.filter(where, pl.col("first").is_in(names)), function, parameter)
                _scales(axes, function, parameter)
                axes.set_title(f"∂/∂{letter} E[{FORMULAS[function]}]", fontsize=9)
            row[0].set_ylabel("variance of one sample")
        for axes in panels[-1]:
            axes.set_xlabel("k")
        _legend(canvas, names)


def _lines(axes: Axes, function: str, parameter: exact.Parameter, names: Sequence[str]) -> None:
    for name in names:
        values = [exact_variance(name, function, parameter, k) for k in KS[function].tolist()]
        axes.plot(KS[function], values, color=LOOKS[name].colour, linewidth=1.2, zorder=2)


def _points(axes: Axes, rows: pl.DataFrame, names: Sequence[str], limits: tuple[float, float]) -> None:
    for name in names:
        points = rows.filter(pl.col("estimator") == name, pl.col("variance").is_between(*limits))
        look: Any = {"color": LOOKS[name].colour, "zorder": 3}
        axes.vlines(points["k"], points["variance_low"], points["variance_high"], linewidth=1, **look)
        inside: Any = {"markerfacecolor": "white", "markersize": 4, "markeredgewidth": 1, "linestyle": ""}
        axes.plot(points["k"], points["variance"], marker=LOOKS[name].marker, clip_on=False, **inside, **look)


def _rings(axes: Axes, crossing_points: pl.DataFrame, function: str, parameter: exact.Parameter) -> None:
    """A ring at each crossing of two lines, and its k at the axis; once for those that lie in one place."""
    named: list[float] = []
    for row in crossing_points.sort("exact").to_dicts():
        k = row["exact"]
        height = exact_variance(row["first"], function, parameter, k)
        axes.plot(k, height, "o", markersize=9, markerfacecolor="none", color=INK, zorder=4)
        if any(abs(k / other - 1) < 0.02 for other in named):
            continue
        named.append(k)
        axes.vlines(k, LIMITS[function][parameter][0], height, color=INK, linewidth=0.6, linestyle=":")
        place: Any = {"textcoords": axes.get_xaxis_transform(), "xytext": (k, 0.02), "zorder": 5}
        side = "left" if len(named) > 1 and k < 0.9 * KS[function][-1] else "right"  # where there is room
        axes.annotate(_number(f" {k:.2f} "), (k, height), fontsize=7, color=INK, ha=side, **place)


def _number(text: str) -> str:
    """A number with the sign that axes have."""
    return text.replace("-", "−")


def _scales(axes: Axes, function: str, parameter: exact.Parameter) -> None:
    axes.set_yscale("log")
    axes.set_ylim(*LIMITS[function][parameter])
    axes.yaxis.set_minor_formatter(NullFormatter())
    if function != "quadratic":
        axes.set_xscale("log")
    axes.set_xlim(KS[function][0], KS[function][-1])
    axes.xaxis.set_minor_locator(FixedLocator([]))
    axes.xaxis.set_major_locator(FixedLocator(TICKS[function]))
    axes.set_xticklabels([_number(f"{tick:g}") for tick in TICKS[function]])


def _legend(canvas: Any, names: Sequence[str]) -> None:
    def handle(label: str, colour: str, **look: Any) -> Line2D:
        return Line2D([], [], color=colour, label=label, markerfacecolor="white", **look)

    handles = [
        handle(LOOKS[name].name, LOOKS[name].colour, marker=LOOKS[name].marker, markersize=4)
        for name in names
    ]
    handles.append(handle("crossing", INK, marker="o", markersize=8, linestyle=""))
    canvas.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def _markdown(crossing_points: pl.DataFrame) -> str:
    titles = ["E f under N(1, 1)", "by", "crossing of", "published k", "exact", "off by", "measured ± s.e."]
    rows = []
    for row in crossing_points.to_dicts():
        names = " and ".join(LOOKS[row[each]].name for each in ("first", "second"))
        cells = [FORMULAS[row["function"]], PARAMETERS[row["parameter"]], names, f"{row['published']:.3f}"]
        cells += [f"{row['exact']:.4f}", f"{100 * row['deviation']:+.2f} %"]
        measured = row["measured"]
        cells.append("" if measured is None else f"{measured:.3f} ± {row['standard_error']:.3f}")
        rows.append(cells)
    return markdown_table(titles, rows) + "\n"
