"""Figures of papers: our curves, the longest run of each, beside the published ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vae_lab.datasets import MNIST, Digits, FreyFace
from vae_lab.estimators import MonteCarloEM, Reparameterized, WakeSleep
from vae_lab.files.markdown import markdown_table
from vae_lab.runs.families import longer_and_shorter
from vae_lab.runs.result import result_of
from vae_lab.sweep.manifest import Manifest

ALGORITHMS: dict[type, str] = {Reparameterized: "aevb", WakeSleep: "wake_sleep", MonteCarloEM: "mcem"}
NAMES = {"aevb": "AEVB", "wake_sleep": "wake-sleep", "mcem": "Monte Carlo EM"}
COLOURS = {"aevb": "#0b5cad", "wake_sleep": "#c44e2b", "mcem": "#3b8a4e"}
DATASETS: dict[type, str] = {MNIST: "mnist", FreyFace: "frey_face", Digits: "digits"}
TITLES = {"mnist": "MNIST", "frey_face": "Frey Face", "digits": "digits"}
SPLITS = {"test": "test", "train": "training", "train_running": "training, running average"}


def longest_runs(manifest: Manifest) -> list[Path]:
    """For each run of a sweep, the longest finished one that differs from it in nothing but its budget."""
    longest = (
        max(
            longer_and_shorter(entry.directory),
            default=None,
            key=lambda run: (result_of(run).metrics["samples"], run.name),
        )
        for entry in manifest.entries
    )
    return [run for run in longest if run is not None]


def ours(manifest: Manifest, curves_of: Callable[[Path], list[pl.DataFrame]]) -> pl.DataFrame:
    """Our curves in one table, empty if there is none; `curves_of` gives those of one finished run."""
    curves = [curve for run in longest_runs(manifest) for curve in curves_of(run)]
    return averaged(curves) if curves else pl.DataFrame()


def rows_of(directory: Path) -> pl.DataFrame:
    """The metrics that a run logged along its training."""
    return pl.read_csv(directory / "metrics.csv", infer_schema_length=None)


def class_name(config: Mapping[str, Any], group: str) -> str:
    """Name of the class of a group of a run's configuration."""
    return str(config[f"{group}._target_"]).rpartition(".")[2]


def class_of(config: Mapping[str, Any], group: str, kinds: Iterable[type]) -> type | None:
    """Which of the classes a group of a run's configuration is of; None if of none of them.

    A class is known by its name within its group, in whichever module an earlier version had it.
    """
    return {kind.__name__: kind for kind in kinds}.get(class_name(config, group))


def published_name(config: Mapping[str, Any], group: str, names: Mapping[type, str]) -> str:
    """The published name of the class of a group of a run's configuration, or that of the class itself."""
    kind = class_of(config, group, names)
    return class_name(config, group) if kind is None else names[kind]


def averaged(curves: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All curves in one table, repeats of one curve averaged."""
    table = pl.concat(curves)
    return table.group_by(table.columns[:-1], maintain_order=True).mean()


def compare_curves(
    ours: pl.DataFrame,
    theirs: pl.DataFrame,
    at: Sequence[float],
    published_split: Callable[[str], str | None] = lambda split: split,
) -> pl.DataFrame:
    """The values of both at round numbers of samples that both have reached, and their difference.

    Args:
        ours: Columns that name a curve, then `split`, `training_samples`, and the value.
        theirs: The same of the published curves.
        at: Numbers of training samples.
        published_split: The published name of a split of ours; None if it was not published.
    """
    *curve, split, samples, _ = ours.columns
    rows = []
    for key, mine in ours.group_by([*curve, split], maintain_order=True):
        if (name := published_split(str(key[-1]))) is None:
            continue
        wanted = dict(zip([*curve, split], [*key[:-1], name], strict=True))
        other = theirs.filter(*(pl.col(column) == value for column, value in wanted.items()))
        for place in at:
            values = _at(other, place), _at(mine, place)
            if values[0] is not None and values[1] is not None:
                rows.append([*key, place, *values, values[1] - values[0]])
    kinds = {name: ours.schema[name] for name in (*curve, split)}
    numbers = dict.fromkeys((samples, "published", "ours", "difference"), ours.schema[samples])
    return pl.DataFrame(rows, schema=kinds | numbers, orient="row")


def _at(curve: pl.DataFrame, samples: float) -> float | None:
    """The value at a number of samples, linear in its logarithm; None outside of the curve."""
    x, y = (curve.sort("training_samples")[name].to_numpy() for name in curve.columns[-2:])
    if len(x) == 0 or not 0.97 * x[0] <= samples <= 1.03 * x[-1]:  # the digitised x is off by 0.5 %
        return None
    return float(np.interp(np.log(samples), np.log(x), y))


def comparison_markdown(table: pl.DataFrame, names: Mapping[str, str]) -> str:
    """A comparison as a table; `names` are the headings of the columns that name a curve."""
    words = NAMES | TITLES | SPLITS
    heads = [*names.values(), "split", "samples", "published", "ours", "difference"]
    rows = []
    for *key, samples, published, ours, difference in table.rows():
        numbers = [f"{samples:.1e}", f"{published:.1f}", f"{ours:.1f}", f"{difference:+.1f}"]
        rows.append([*(words.get(name, str(name)) for name in key), *numbers])
    return markdown_table(heads, rows) + "\n"


def add_legend(canvas: Figure, ours: pl.DataFrame, theirs: pl.DataFrame, thin: str) -> None:
    """The legend, what the thin lines are, and the budget of our curves."""
    present = [name for name in COLOURS if name in {*ours["algorithm"], *theirs["algorithm"]}]
    grey: Any = {"color": "#5a5a5a"}
    handles = [Line2D([], [], color=COLOURS[name], label=NAMES[name]) for name in present]
    handles += [
        Line2D([], [], label="test", linewidth=1.6, **grey),
        Line2D([], [], label=thin, linewidth=0.8, **grey),
        Line2D([], [], label="Kingma & Welling (2014)", linestyle="--", **grey),
    ]
    canvas.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    canvas.suptitle(f"Ours: {budgets(ours)} training samples for each curve", fontsize=9)


def budgets(curves: pl.DataFrame) -> str:
    """How many training samples the curves took, in words.

    Example:
        >>> budgets(pl.DataFrame({"algorithm": ["a"] * 2, "split": "test", "training_samples": [1e5, 3e6]}))
        '3 million'
    """
    curve = curves.columns[: curves.columns.index("split")]
    ends = curves.group_by(curve).agg(pl.col("training_samples").max())["training_samples"]
    millions = [f"{value / 1e6:.3g}" for value in (ends.min(), ends.max()) if isinstance(value, float)]
    return " to ".join(dict.fromkeys(millions)) + " million"


def write_comparison(
    folder: Path, ours: pl.DataFrame, table: pl.DataFrame, names: Mapping[str, str]
) -> list[Path]:
    """Writes `curves.csv`, `comparison.csv` and `comparison.md`."""
    paths = [folder / name for name in ("curves.csv", "comparison.csv", "comparison.md")]
    ours.write_csv(paths[0], float_precision=2)
    table.write_csv(paths[1], float_precision=2)
    paths[2].write_text(comparison_markdown(table, names))
    return paths


def draw_panel(axes: Axes, ours: pl.DataFrame, theirs: pl.DataFrame, training: str) -> None:
    """Draws the curves of one panel: test thick and training thin, the published ones dashed.

    Args:
        axes: Where.
        ours: The panel's curves.
        theirs: The published ones, whose training split is `train`.
        training: Our split that is drawn as training.
    """
    for algorithm, colour in COLOURS.items():
        for split, width, alpha in (("test", 1.6, 1.0), ("train", 0.8, 0.6)):
            for table, name, style in (
                (theirs, split, "--"),
                (ours, training if split == "train" else split, "-"),
            ):
                line = table.filter(pl.col("algorithm") == algorithm, pl.col("split") == name)
                x, y = (line.sort("training_samples")[column] for column in line.columns[-2:])
                axes.plot(x, y, style, color=colour, linewidth=width, alpha=alpha)
