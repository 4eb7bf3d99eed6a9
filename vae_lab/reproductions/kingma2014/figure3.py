"""Figure 3 of Auto-Encoding Variational Bayes (Kingma & Welling, 2014), ours beside the published curves."""

from pathlib import Path

import polars as pl
from matplotlib.ticker import EngFormatter

from vae_lab.datasets import MNIST
from vae_lab.figures.style import figure
from vae_lab.reproductions import published
from vae_lab.reproductions import published_curves as common
from vae_lab.runs.result import result_of
from vae_lab.sweep.table import Results

LIMITS = {1000: (-160, -100), 50000: (-160, -125)}  # the paper's
SPLITS = {"test_curve/log_likelihood_hmc": "test", "train_curve/log_likelihood_hmc": "train"}
COMPARED_SAMPLES = (
    1e6,
    2e6,
    3e6,
    5e6,
    1e7,
    2e7,
    4e7,
    6e7,
)  # samples at which ours is compared with the published curve


def figure3(results: Results, folder: Path) -> list[Path]:
    """Draws the marginal likelihood against training samples, a panel for each size of the training part.

    A run's place is taken by a longer one of the same definition, where that is done.

    Args:
        results: Those of the sweep, finished or not.
        folder: Where `figure.png`, `curves.csv`, `comparison.csv` and `comparison.md` go.

    Raises:
        UserError: If the published curves are missing or malformed.
    """
    theirs = published.published_points("kingma2014_figure3")
    ours = common.ours(results.manifest, _curves_of)
    if ours.is_empty():
        return []
    _draw(ours, theirs, folder / "figure.png")
    names = {"train_size": "training data", "algorithm": "algorithm"}
    return [
        folder / "figure.png",
        *common.write_comparison(folder, ours, common.compare_curves(ours, theirs, COMPARED_SAMPLES), names),
    ]


def _curves_of(directory: Path) -> list[pl.DataFrame]:
    """The curves of one finished run."""
    config = result_of(directory).config
    if common.class_of(config, "dataset", [MNIST]) is None or config["dataset.train_size"] is None:
        return []  # nothing that was published
    algorithm = common.published_name(config, "estimator", common.ALGORITHMS)
    rows = common.rows_of(directory)
    return [
        rows.select(
            pl.lit(config["dataset.train_size"] - config["dataset.validation_size"], pl.Int64).alias(
                "train_size"
            ),
            pl.lit(algorithm).alias("algorithm"),
            pl.lit(split).alias("split"),
            pl.col("samples").cast(pl.Float64).alias("training_samples"),
            pl.col(column).alias("log_likelihood_nats"),
        ).drop_nulls("log_likelihood_nats")
        for column, split in SPLITS.items()
        if column in rows.columns
    ]


def _draw(ours: pl.DataFrame, theirs: pl.DataFrame, path: Path) -> None:
    sizes = sorted(ours["train_size"].unique().to_list())
    with figure(path, 0.8 + 3.4 * len(sizes), 3.6) as canvas:
        for axes, size in zip(canvas.subplots(1, len(sizes), squeeze=False)[0], sizes, strict=True):
            of_panel = pl.col("train_size") == size
            mine = ours.filter(of_panel)
            common.draw_panel(axes, mine, theirs.filter(of_panel), "train")
            axes.set_title(f"{size:,} training data", fontsize=9)
            axes.set_xlim(0, 1.05 * max(mine["training_samples"]))
            if size in LIMITS:
                axes.set_ylim(*LIMITS[size])
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.set_xlabel("training samples")
            axes.set_ylabel("marginal log-likelihood\n(nats per datum)")
        common.add_legend(canvas, ours, theirs, thin="training")
