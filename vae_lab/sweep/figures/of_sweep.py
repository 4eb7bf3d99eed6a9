"""The figure of a sweep, from its results."""

from pathlib import Path

import polars as pl

from vae_lab.applications.gradients.figures.snr import draw_snr
from vae_lab.applications.gradients.figures.variance import draw_gradients
from vae_lab.applications.outliers.figures.of_sweep import auroc_table
from vae_lab.errors import UserError, did_you_mean
from vae_lab.reproductions.burda2016.table1 import table1
from vae_lab.reproductions.kingma2014.figure2 import figure2
from vae_lab.reproductions.kingma2014.figure3 import figure3
from vae_lab.reproductions.model_zoo import model_zoo
from vae_lab.reproductions.mohamed2020.figures import figures2_and_3
from vae_lab.sweep.figures.against import against, words
from vae_lab.sweep.figures.curves import curves
from vae_lab.sweep.manifest import Manifest
from vae_lab.sweep.table import Results, over_repeats

OF_ONE_GROUP = ("seed", "latent_dim", "num_samples")  # axes of a measurement that its figures draw themselves


def draw(results: Results, folder: Path) -> list[Path]:
    """Draws the figure that the sweep's file names; gives the paths.

    Raises:
        UserError: If there is no such kind of figure.
    """
    kinds = {
        "against": _against,
        "curves": _curves,
        "gradients": _gradients,
        "burda2016_table1": lambda results, folder: table1(results.manifest, folder),
        "kingma2014_figure2": lambda results, folder: figure2(results.manifest, folder),
        "kingma2014_figure3": lambda results, folder: figure3(results.manifest, folder),
        "manifolds": _of_models,
        "model_zoo": lambda results, folder: model_zoo(results.manifest, folder),
        "mohamed2020": lambda results, folder: figures2_and_3(results.manifest, folder),
        "outliers": _outliers,
        "samples": _of_models,
        "snr": _snr,
    }
    kind = results.manifest.figure
    if results.runs.is_empty() or kind is None:
        return []
    if kind not in kinds:
        raise UserError(f"sweep.figure={kind} is not a kind of figure{did_you_mean(kind, kinds)}")
    return kinds[kind](results, folder)


def _against(results: Results, folder: Path) -> list[Path]:
    if results.settings.is_empty() or not results.manifest.axes("scientific"):
        return []
    path = folder / "figure.png"
    there = results.settings.filter(pl.col(results.manifest.metric).is_not_null())
    if there.is_empty():
        return []
    against(there, results.manifest.axes("scientific"), results.manifest.metric, path)
    return [path]


def _curves(results: Results, folder: Path) -> list[Path]:
    curve = results.manifest.metric.replace("test/", "test_curve/")
    parts = []
    for entry in results.manifest.entries:
        if entry.is_done and not (rows := _curve(entry.directory, curve)).is_empty():
            setting = _setting(results.manifest, entry.point)
            parts.append(rows.with_columns(pl.lit(setting).alias("setting")))
    if not parts:
        return []
    path = folder / "figure.png"
    curves(
        over_repeats(pl.concat(parts), ["setting", "samples"], curve), words(results.manifest.metric), path
    )
    return [path]


def _of_models(results: Results, folder: Path) -> list[Path]:
    from vae_lab.trained.figures import manifolds, samples  # torch, which the other figures do without

    draw_models = manifolds if results.manifest.figure == "manifolds" else samples
    path = folder / "figure.png"
    draw_models([entry.directory for entry in results.manifest.entries if entry.is_done], path)
    return [path]


def _outliers(results: Results, folder: Path) -> list[Path]:
    if results.settings.is_empty():
        return []
    path = folder / "figure.png"
    auroc_table(results.settings, results.manifest.axes("scientific"), path)
    return [path]


def _gradients(results: Results, folder: Path) -> list[Path]:
    table = _measurements(results)
    table.write_csv(folder / "gradients.csv")
    return [folder / "gradients.csv", *draw_gradients(table, folder).values()]


def _snr(results: Results, folder: Path) -> list[Path]:
    table = _measurements(results)
    table.write_csv(folder / "gradients.csv")
    return [folder / "gradients.csv", *draw_snr(table, folder)]


def _measurements(results: Results) -> pl.DataFrame:
    """The rows of all measurements of a sweep, named by what distinguishes them."""
    parts = []
    for entry in results.manifest.entries:
        path = entry.directory / "gradients.parquet"
        if entry.is_done and path.is_file():
            others = {name: value for name, value in entry.point.items() if name not in OF_ONE_GROUP}
            setting = ", ".join(f"{name} = {value}" for name, value in others.items())
            parts.append(pl.read_parquet(path).with_columns(pl.lit(setting).alias("setting")))
    return pl.concat(parts, how="diagonal_relaxed")


def _setting(manifest: Manifest, point: dict[str, str]) -> str:
    """What is compared: the values of all axes but the repeats."""
    shown = {name: value for name, value in point.items() if manifest.roles[name] != "repeats"}
    named = ", ".join(f"{name} = {value}" for name, value in shown.items())
    return next(iter(shown.values())) if len(shown) == 1 else named


def _curve(directory: Path, curve: str) -> pl.DataFrame:
    """Samples and values of a curve, without rows for a run that has none."""
    rows = pl.read_csv(directory / "metrics.csv", infer_schema_length=None)
    if curve not in rows.columns:
        return pl.DataFrame()
    return rows.filter(pl.col(curve).is_not_null()).select("samples", curve)
