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
        tables = [_gradients(job) for job in jobs]
        table = pl.concat(tables, how="diagonal_relaxed")
        table.write_csv(folder / "table.csv")
        return [folder / "table.csv", *draw_gradients(table, folder).values()]
    return _draw_curves(jobs, folder)


def _draw_curves(jobs: Sequence[Job], folder: Path) -> list[Path]:
    final = pl.DataFrame([_final(job) for job in jobs], infer_schema_length=None)
    final.write_csv(folder / "runs.csv")
    drawn = [curve for curve in map(_curve, jobs) if not curve.is_empty()]
    if not drawn:
        return [folder / "runs.csv"]
    measured = final.filter(pl.col("test/elbo").is_not_null()).rename({"test/elbo": "value"})
    _over_seeds(measured, ["setting"]).rename({"mean": "test/elbo"}).write_csv(folder / "table.csv")
    curves(_over_seeds(pl.concat(drawn), ["setting", "samples"]), "test ELBO", folder / "curves.png")
    return [folder / "table.csv", folder / "curves.png"]


def _setting(job: Job, without: Sequence[str] = ("seed",)) -> str:
    """What the job is among those of the sweep: its values of all axes but the repeats."""
    point = {key: value for key, value in job.point.items() if key not in without}
    named = (f"{key.rpartition('.')[2]} = {value}" for key, value in point.items())
    return next(iter(point.values())) if len(point) == 1 else ", ".join(named)


def _gradients(job: Job) -> pl.DataFrame:
    table = pl.read_parquet(job.directory / "gradients.parquet")
    setting = _setting(job, without=("seed", "model.latent_dim", "num_samples"))
    return table.with_columns(pl.lit(setting).alias("setting"))


def _curve(job: Job) -> pl.DataFrame:
    """The test curve, without rows for a run that has none."""
    rows = pl.read_csv(job.directory / "metrics.csv", infer_schema_length=None)
    if CURVE not in rows.columns:
        return pl.DataFrame()
    rows = rows.filter(pl.col(CURVE).is_not_null())
    return rows.select("samples", pl.col(CURVE).alias("value"), pl.lit(_setting(job)).alias("setting"))


def _final(job: Job) -> dict[str, object]:
    result = json.loads((job.directory / "metrics.json").read_text())
    tested = {name: value for name, value in result["metrics"].items() if name.startswith("test/")}
    return {
        "setting": _setting(job),
        **job.point,
        "test/elbo": None,
        **tested,
        **result["timing"],
        "run": result["signature"],
    }


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
