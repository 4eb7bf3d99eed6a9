"""The table and the figures of a sweep, from the files of its runs."""

import json
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from scipy.stats import t as student

from vae_lab.figures.curves import curves
from vae_lab.figures.gradients import draw_gradients
from vae_lab.orchestration.sweep import Job, Sweep

CURVE = "test_curve/elbo"


def draw_sweep(sweep: Sweep, jobs: Sequence[Job]) -> list[Path]:
    """Draws the figure that the sweep's file names, and writes `table.csv`; gives their paths."""
    folder = sweep.directory
    folder.mkdir(parents=True, exist_ok=True)
    if sweep.settings.figure == "gradients":
        tables = [pl.read_parquet(job.directory / "gradients.parquet") for job in jobs]
        table = pl.concat(tables, how="diagonal_relaxed")
        table.write_csv(folder / "table.csv")
        return [folder / "table.csv", *draw_gradients(table, folder).values()]
    return _draw_curves(jobs, folder)


def _draw_curves(jobs: Sequence[Job], folder: Path) -> list[Path]:
    axis = next(iter(jobs[0].point), "estimator")
    points = pl.concat([_curve(job, axis) for job in jobs], how="diagonal_relaxed")
    final = pl.DataFrame([_final(job) for job in jobs])
    final.write_csv(folder / "runs.csv")
    table = _over_seeds(final.rename({"test/elbo": "value"}), [axis]).rename({"mean": "test/elbo"})
    table.write_csv(folder / "table.csv")
    path = folder / "curves.png"
    curves(_over_seeds(points, [axis, "samples"]), axis, "test ELBO", path)
    return [folder / "table.csv", path]


def _curve(job: Job, axis: str) -> pl.DataFrame:
    rows = pl.read_csv(job.directory / "metrics.csv", infer_schema_length=None)
    rows = rows.filter(pl.col(CURVE).is_not_null())
    return rows.select("samples", pl.col(CURVE).alias("value"), pl.lit(job.point.get(axis, "")).alias(axis))


def _final(job: Job) -> dict[str, object]:
    result = json.loads((job.directory / "metrics.json").read_text())
    tested = {name: value for name, value in result["metrics"].items() if name.startswith("test/")}
    return {**job.point, **tested, **result["timing"], "run": result["signature"]}


def _over_seeds(table: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Mean, number and 95 % interval (Student's t) of a value over the rows that share the keys."""
    summary = table.group_by(keys, maintain_order=True).agg(
        pl.col("value").mean().alias("mean"),
        pl.col("value").std().alias("std"),
        pl.col("value").len().alias("seeds"),
    )
    quantiles = [float(student.ppf(0.975, n - 1)) if n > 1 else 0.0 for n in summary["seeds"]]
    half = pl.Series(quantiles) * summary["std"].fill_null(0.0) / summary["seeds"].sqrt()
    return summary.with_columns((summary["mean"] - half).alias("low"), (summary["mean"] + half).alias("high"))
