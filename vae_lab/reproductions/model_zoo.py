"""Models of every kind in one table: size, time, log-likelihood."""

from pathlib import Path
from typing import Any

import polars as pl

from vae_lab.errors import UserError
from vae_lab.files.markdown import markdown_table
from vae_lab.files.writing import write_atomically
from vae_lab.reproductions import published_curves as common
from vae_lab.runs.result import Result, result_of
from vae_lab.sweep.table import Results

VARIANT = ("dataset.binarize", "dataset.dequantize", "dataset.scale")


def model_zoo(results: Results, folder: Path) -> list[Path]:
    """Writes `comparison.csv` and `comparison.md`, a row for each run that is done, in the sweep's order.

    Log-likelihoods stand in a column of their data, probabilities apart from densities, since others cannot
    be compared; what makes no sense, such as that of an autoencoder, is n/a.

    Args:
        results: Those of the sweep, finished or not.
        folder: Where the files go.

    Raises:
        UserError: If the runs are no trainings.
    """
    done = [entry for entry in results.manifest.entries if entry.is_done]
    rows = [_row(" ".join(entry.point.values()), result_of(entry.directory)) for entry in done]
    if not rows:
        return []
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    table = pl.DataFrame([_columns(row, datasets) for row in rows], infer_schema_length=None)
    write_atomically(folder / "comparison.csv", table.write_csv(float_precision=4))
    write_atomically(folder / "comparison.md", _markdown(table))
    return [folder / "comparison.csv", folder / "comparison.md"]


def _row(name: str, result: Result) -> dict[str, Any]:
    if "parameters" not in result:
        raise UserError("sweep.figure=model_zoo is for a sweep of vae-lab train.")
    score = result.metrics.get("test/log_likelihood")
    return {
        "model": name,
        "dataset": _data(result),
        "parameters": result["parameters"],
        "training, s": result["timing"]["training_seconds"],
        "log-likelihood": score,
        "which is": None if score is None else result["log_likelihood"],
        "sampling, ms": 1e3 * result["timing"]["sampling_seconds"] if result.has_density else None,
    }


def _data(result: Result) -> str:
    """The data that a log-likelihood is of: the dataset, its variant, and whether it is a density."""
    config = result.config
    variant = [str(config[key]) for key in VARIANT if config.get(key) not in (None, False)]
    density = ["density"] if any(" is a density" in note for note in result.notes) else []
    return ", ".join([common.class_name(config, "dataset"), *variant, *density])


def _columns(row: dict[str, Any], datasets: list[str]) -> dict[str, Any]:
    scores = {f"{name}, nats": row["log-likelihood"] if row["dataset"] == name else None for name in datasets}
    before = {name: row[name] for name in ("model", "parameters", "training, s")}
    return before | scores | {name: row[name] for name in ("which is", "sampling, ms")}


def _markdown(table: pl.DataFrame) -> str:
    rows = [map(_cell, row) for row in table.rows()]
    return markdown_table(table.columns, rows, to_the_right=True) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 0.01 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
