"""Models of every kind in one table: size, time, log-likelihood."""

from pathlib import Path
from typing import Any

import polars as pl

from vae_lab.figures import published_curves as common
from vae_lab.orchestration.manifest import Manifest
from vae_lab.orchestration.run_directory import result_of, write_atomically


def model_zoo(manifest: Manifest, folder: Path) -> list[Path]:
    """Writes `comparison.csv` and `comparison.md`, a row for each run that is done, in the sweep's order.

    Log-likelihoods stand in a column of their dataset, since those of different data cannot be compared; what
    makes no sense, such as that of an autoencoder, is n/a.

    Args:
        manifest: The sweep's, finished or not.
        folder: Where the files go.
    """
    done = [entry for entry in manifest.entries if entry.is_done]
    rows = [_row(" ".join(entry.point.values()), result_of(entry.directory)) for entry in done]
    if not rows:
        return []
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    table = pl.DataFrame([_columns(row, datasets) for row in rows], infer_schema_length=None)
    write_atomically(folder / "comparison.csv", table.write_csv(float_precision=4))
    write_atomically(folder / "comparison.md", _markdown(table))
    return [folder / "comparison.csv", folder / "comparison.md"]


def _row(name: str, result: dict[str, Any]) -> dict[str, Any]:
    has_p = result["log_likelihood"] is not None  # an autoencoder has none, and nothing to sample from
    return {
        "model": name,
        "dataset": common.class_of(result["config"], "dataset"),
        "parameters": result["parameters"],
        "training, s": result["timing"]["training_seconds"],
        "log-likelihood": result["metrics"]["test/log_likelihood"] if has_p else None,
        "which is": result["log_likelihood"],
        "sampling, ms": 1e3 * result["timing"]["sampling_seconds"] if has_p else None,
    }


def _columns(row: dict[str, Any], datasets: list[str]) -> dict[str, Any]:
    scores = {f"{name}, nats": row["log-likelihood"] if row["dataset"] == name else None for name in datasets}
    before = {name: row[name] for name in ("model", "parameters", "training, s")}
    return before | scores | {name: row[name] for name in ("which is", "sampling, ms")}


def _markdown(table: pl.DataFrame) -> str:
    lines = ["| " + " | ".join(table.columns) + " |", "|---|" + "---:|" * (table.width - 1)]
    for row in table.rows():
        lines.append("| " + " | ".join(map(_cell, row)) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return "n/a"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 0.01 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
