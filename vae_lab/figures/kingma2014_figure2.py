"""Figure 2 of Auto-Encoding Variational Bayes (Kingma & Welling, 2014), ours beside the published curves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter

from vae_lab import published
from vae_lab.figures.style import figure
from vae_lab.orchestration.manifest import Manifest
from vae_lab.orchestration.run_directory import longer_and_shorter

ALGORITHMS = {"Reparameterized": "aevb", "WakeSleep": "wake_sleep"}
NAMES = {"aevb": "AEVB", "wake_sleep": "wake-sleep"}
COLOURS = {"aevb": "#0b5cad", "wake_sleep": "#c44e2b"}
DATASETS = {"MNIST": "mnist", "FreyFace": "frey_face", "Digits": "digits"}
TITLES = {"mnist": "MNIST", "frey_face": "Frey Face", "digits": "digits"}
LIMITS = {"mnist": (-150, -95), "frey_face": (0, 1600)}  # the paper's
SPLITS = {"test_curve/elbo": "test", "train_curve/elbo": "train", "train/elbo": "train_running"}
CURVE = ["dataset", "latent_dim", "algorithm"]
AT = (3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 2.4e8)  # samples at which ours is compared with the published curve
PER_DECADE = 10


def figure2(manifest: Manifest, folder: Path) -> list[Path]:
    """Draws the lower bound against training samples, a panel for each dataset and latent size.

    A run's place is taken by a longer one of the same definition, where that is done.
    The published training curve is a running average over recent minibatches, with weights that move on
    meanwhile; ours is averaged likewise between one evaluation and the next. `curves.csv` has the bound of
    training data at the weights of the moment too.

    Args:
        manifest: The sweep's, finished or not.
        folder: Where `figure.png`, `curves.csv`, `comparison.csv` and `comparison.md` go.

    Raises:
        UserError: If the published curves are missing or malformed.
    """
    theirs = published.curves("kingma2014_figure2")
    runs = [run for entry in manifest.entries if (run := _longest(entry.directory)) is not None]
    parts = [_curves_of(run) for run in runs]
    if not parts:
        return []
    ours = pl.concat(parts)
    paths = {name: folder / name for name in ("figure.png", "curves.csv", "comparison.csv", "comparison.md")}
    ours.write_csv(paths["curves.csv"], float_precision=2)
    _draw(ours, theirs, paths["figure.png"])
    table = compare(ours, theirs)
    table.write_csv(paths["comparison.csv"], float_precision=2)
    paths["comparison.md"].write_text(_markdown(table))
    return list(paths.values())


def compare(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """The bound of both at round numbers of samples that both have reached, and its difference.

    Args:
        ours: Columns `dataset`, `latent_dim`, `algorithm`, `split`, `training_samples`, `lower_bound_nats`.
        theirs: The same of the published curves, whose training curve is a running average.
    """
    rows = []
    for key, mine in ours.group_by([*CURVE, "split"], maintain_order=True):
        *curve, split = key
        if split == "train":
            continue
        wanted = dict(zip(CURVE, curve, strict=True)) | {"split": str(split).removesuffix("_running")}
        other = theirs.filter(*(pl.col(name) == value for name, value in wanted.items()))
        for samples in AT:
            values = _at(other, samples), _at(mine, samples)
            if None not in values:
                rows.append([*curve, split, samples, *values, values[1] - values[0]])
    names = [*CURVE, "split", "training_samples", "published", "ours", "difference"]
    kinds = [pl.String, pl.Int64, pl.String, pl.String, pl.Float64, pl.Float64, pl.Float64, pl.Float64]
    return pl.DataFrame(rows, schema=list(zip(names, kinds, strict=True)), orient="row")


def _longest(directory: Path) -> Path | None:
    """The longest finished run that differs from this one in nothing but its budget."""
    return max(
        longer_and_shorter(directory),
        default=None,
        key=lambda run: (_result(run)["metrics"]["samples"], run.name),
    )


def _result(directory: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((directory / "metrics.json").read_bytes())
    return result


def _curves_of(directory: Path) -> pl.DataFrame:
    """The curves of one finished run."""
    config = _result(directory)["config"]
    dataset, estimator = (config[f"{key}._target_"].rpartition(".")[2] for key in ("dataset", "estimator"))
    rows = pl.read_csv(directory / "metrics.csv", infer_schema_length=None)
    parts = [
        _binned(rows, column) if split == "train_running" else rows.select("samples", column).drop_nulls()
        for column, split in SPLITS.items()
        if column in rows.columns
    ]
    return pl.concat(
        part.select(
            pl.lit(DATASETS.get(dataset, dataset)).alias("dataset"),
            pl.lit(config["model.latent_dim"]).alias("latent_dim"),
            pl.lit(ALGORITHMS.get(estimator, estimator)).alias("algorithm"),
            pl.lit(SPLITS[part.columns[1]]).alias("split"),
            pl.col("samples").cast(pl.Float64).alias("training_samples"),
            pl.col(part.columns[1]).alias("lower_bound_nats"),
        )
        for part in parts
    )


def _binned(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Averages of the minibatches between round numbers of samples, ten to a decade."""
    found = rows.select("samples", column).drop_nulls()
    bins = (pl.col("samples").cast(pl.Float64).log10() * PER_DECADE - 1e-9).ceil()
    averages = found.group_by(bins.alias("bin")).agg(pl.col("samples").max(), pl.col(column).mean())
    return averages.sort("samples").select("samples", column)


def _at(curve: pl.DataFrame, samples: float) -> Any:
    """The bound at a number of samples, linear in its logarithm; None outside of the curve."""
    x, y = (curve.sort("training_samples")[name].to_numpy() for name in curve.columns[-2:])
    if len(x) == 0 or not 0.97 * x[0] <= samples <= 1.03 * x[-1]:  # the digitised x is off by 0.5 %
        return None
    return float(np.interp(np.log(samples), np.log(x), y))


def _draw(ours: pl.DataFrame, theirs: pl.DataFrame, path: Path) -> None:
    datasets = ours["dataset"].unique(maintain_order=True).to_list()
    sizes = {
        dataset: sorted(ours.filter(pl.col("dataset") == dataset)["latent_dim"].unique().to_list())
        for dataset in datasets
    }
    columns = max(map(len, sizes.values()))
    with figure(path, 0.6 + 2.3 * columns, 0.7 + 2.3 * len(datasets)) as canvas:
        grid = canvas.subplots(len(datasets), columns, squeeze=False, sharey="row")
        for axes_of_row, dataset in zip(grid, datasets, strict=True):
            for axes in axes_of_row[len(sizes[dataset]) :]:
                axes.set_axis_off()
            for axes, size in zip(axes_of_row, sizes[dataset], strict=False):
                of_panel = (pl.col("dataset") == dataset) & (pl.col("latent_dim") == size)
                _panel(axes, ours.filter(of_panel), theirs.filter(of_panel))
                axes.set_title(f"{TITLES.get(dataset, dataset)}, latent size {size}", fontsize=9)
            axes_of_row[0].set_ylabel("lower bound\n(nats per datum)")
            if dataset in LIMITS:
                axes_of_row[0].set_ylim(*LIMITS[dataset])
        for axes in grid[-1]:
            axes.set_xlabel("training samples")
        _explain(canvas, ours)


def _panel(axes: Axes, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    for algorithm, colour in COLOURS.items():
        for split, width in (("test", 1.6), ("train", 0.8)):
            lines = (theirs, split, "--"), (ours, "test" if split == "test" else "train_running", "-")
            for table, name, style in lines:
                line = table.filter(pl.col("algorithm") == algorithm, pl.col("split") == name)
                line = line.sort("training_samples")
                axes.plot(
                    line["training_samples"], line["lower_bound_nats"],
                    style, color=colour, linewidth=width, alpha=1.0 if split == "test" else 0.6,
                )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(1e5, max([1e7, *theirs["training_samples"], *ours["training_samples"]]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _explain(canvas: Any, ours: pl.DataFrame) -> None:
    handles: list[Line2D] = [Line2D([], [], color=COLOURS[name], label=NAMES[name]) for name in COLOURS]
    grey: Any = {"color": "#5a5a5a"}
    handles += [
        Line2D([], [], label="test", linewidth=1.6, **grey),
        Line2D([], [], label="training, running average", linewidth=0.8, **grey),
        Line2D([], [], label="Kingma & Welling (2014)", linestyle="--", **grey),
    ]
    canvas.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
    canvas.suptitle(f"Ours: {budgets(ours)} training samples for each curve", fontsize=9)


def budgets(curves: pl.DataFrame) -> str:
    """How many training samples the curves took, in words.

    Example:
        >>> table = pl.DataFrame({name: ["a"] * 2 for name in CURVE} | {"training_samples": [1e5, 3e6]})
        >>> budgets(table)
        '3 million'
    """
    ends = curves.group_by(CURVE).agg(pl.col("training_samples").max())["training_samples"]
    millions = [f"{value / 1e6:.3g}" for value in (ends.min(), ends.max()) if isinstance(value, float)]
    return " to ".join(dict.fromkeys(millions)) + " million"


def _markdown(table: pl.DataFrame) -> str:
    lines = ["| data | latent size | algorithm | split | samples | published | ours | difference |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    splits = {"test": "test", "train_running": "training, running average"}
    for dataset, size, algorithm, split, samples, *values in table.rows():
        words: Sequence[str] = (TITLES.get(dataset, dataset), str(size), NAMES.get(algorithm, algorithm))
        numbers = [f"{value:.1f}" for value in values[:2]] + [f"{values[2]:+.1f}"]
        lines.append("| " + " | ".join([*words, splits[split], f"{samples:.1e}", *numbers]) + " |")
    return "\n".join(lines) + "\n"
