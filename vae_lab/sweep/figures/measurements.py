"""Figures of a sweep over measurements of gradient estimators."""

from pathlib import Path

import polars as pl

from vae_lab.applications.gradients.figures import snr, variance
from vae_lab.sweep.table import Results

MEASUREMENT_AXES = (
    "seed",
    "latent_dim",
    "num_samples",
)  # axes of a measurement that its figures draw themselves


def draw_gradients(results: Results, folder: Path) -> list[Path]:
    """Draws the variance, the bias and the cost of each estimator."""
    table = _measurements(results, folder)
    return [folder / "gradients.csv", *variance.draw_variances(table, folder).values()]


def draw_snr(results: Results, folder: Path) -> list[Path]:
    """Draws the signal-to-noise ratio of each estimator."""
    table = _measurements(results, folder)
    return [folder / "gradients.csv", *snr.draw_signal_to_noise(table, folder)]


def _measurements(results: Results, folder: Path) -> pl.DataFrame:
    """The rows of all measurements, named by what distinguishes them; left in `gradients.csv`."""
    parts = []
    for entry in results.manifest.entries:
        path = entry.directory / "gradients.parquet"
        if entry.is_done and path.is_file():
            others = {name: value for name, value in entry.point.items() if name not in MEASUREMENT_AXES}
            setting = ", ".join(f"{name} = {value}" for name, value in others.items())
            parts.append(pl.read_parquet(path).with_columns(pl.lit(setting).alias("setting")))
    table = pl.concat(parts, how="diagonal_relaxed")
    table.write_csv(folder / "gradients.csv")
    return table
