"""Figure 2 of Auto-Encoding Variational Bayes (Kingma & Welling, 2014), ours beside the published curves."""

from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

from vae_lab.figures.style import figure
from vae_lab.reproductions import published
from vae_lab.reproductions import published_curves as common
from vae_lab.runs.result import result_of
from vae_lab.sweep.table import Results

LIMITS = {"mnist": (-150, -95), "frey_face": (0, 1600)}  # the paper's
SPLITS = {"test_curve/elbo": "test", "train_curve/elbo": "train", "train/elbo": "train_running"}
COMPARED_AT = (
    3e5,
    1e6,
    3e6,
    1e7,
    3e7,
    1e8,
    2.4e8,
)  # samples at which ours is compared with the published curve
PER_DECADE = 10


def figure2(results: Results, folder: Path) -> list[Path]:
    """Draws the lower bound against training samples, a panel for each dataset and latent size.

    A run's place is taken by a longer one of the same definition, where that is done.
    The published training curve is a running average over recent minibatches, with weights that move on
    meanwhile; ours is averaged likewise between one evaluation and the next. `curves.csv` has the bound of
    training data at the weights of the moment too.

    Args:
        results: Those of the sweep, finished or not.
        folder: Where `figure.png`, `curves.csv`, `comparison.csv` and `comparison.md` go.

    Raises:
        UserError: If the published curves are missing or malformed.
    """
    theirs = published.published_points("kingma2014_figure2")
    ours = common.ours(results.manifest, _curves_of)
    if ours.is_empty():
        return []
    _draw(ours, theirs, folder / "figure.png")
    names = {"dataset": "data", "latent_dim": "latent size", "algorithm": "algorithm"}
    table = common.compare_curves(ours, theirs, COMPARED_AT, _published_split)
    return [folder / "figure.png", *common.write_comparison(folder, ours, table, names)]


def _published_split(split: str) -> str | None:
    """The published training curve is a running average."""
    return {"test": "test", "train_running": "train"}.get(split)


def _curves_of(directory: Path) -> list[pl.DataFrame]:
    """The curves of one finished run."""
    config = result_of(directory).config
    dataset = common.published_name(config, "dataset", common.DATASETS)
    algorithm = common.published_name(config, "estimator", common.ALGORITHMS)
    rows = common.rows_of(directory)
    parts = [
        _binned(rows, column) if split == "train_running" else rows.select("samples", column).drop_nulls()
        for column, split in SPLITS.items()
        if column in rows.columns
    ]
    return [
        part.select(
            pl.lit(dataset).alias("dataset"),
            pl.lit(config["model.latent_dim"], pl.Int64).alias("latent_dim"),
            pl.lit(algorithm).alias("algorithm"),
            pl.lit(SPLITS[part.columns[1]]).alias("split"),
            pl.col("samples").cast(pl.Float64).alias("training_samples"),
            pl.col(part.columns[1]).alias("lower_bound_nats"),
        )
        for part in parts
    ]


def _binned(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Averages of the minibatches between round numbers of samples, ten to a decade."""
    curve = rows.select("samples", column).drop_nulls()
    bins = (pl.col("samples").cast(pl.Float64).log10() * PER_DECADE - 1e-9).ceil()
    averages = curve.group_by(bins.alias("bin")).agg(pl.col("samples").max(), pl.col(column).mean())
    return averages.sort("samples").select("samples", column)


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
                axes.set_title(f"{common.TITLES.get(dataset, dataset)}, latent size {size}", fontsize=9)
            axes_of_row[0].set_ylabel("lower bound\n(nats per datum)")
            if dataset in LIMITS:
                axes_of_row[0].set_ylim(*LIMITS[dataset])
        for axes in grid[-1]:
            axes.set_xlabel("training samples")
        common.add_legend(canvas, ours, theirs, thin="training, running average")


def _panel(axes: Axes, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    common.draw_panel(axes, ours, theirs, "train_running")
    axes.set_xscale("log")
    axes.set_xlim(1e5, max([1e7, *theirs["training_samples"], *ours["training_samples"]]))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
