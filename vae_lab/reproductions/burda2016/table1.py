"""Table 1 of Importance Weighted Autoencoders (Burda et al., 2016), ours beside the published numbers."""

from pathlib import Path

import polars as pl

from vae_lab.datasets import MNIST
from vae_lab.estimators import IWAE, Reparameterized
from vae_lab.files.markdown import markdown_table
from vae_lab.files.writing import write_atomically
from vae_lab.reproductions import published
from vae_lab.reproductions import published_curves as common
from vae_lab.runs.result import result_of
from vae_lab.sweep.table import Results

OBJECTIVES: dict[type, str] = {Reparameterized: "vae", IWAE: "iwae"}
COLUMNS = {
    "layers": "stochastic layers",
    "objective": "objective",
    "num_samples": "k",
    "passes": "passes (published: 3280)",
    "nll_nats": "NLL, published",
    "nll_nats_ours": "ours",
    "active_units": "active units, published",
    "active_units_ours": "ours",
}


def table1(results: Results, folder: Path) -> list[Path]:
    """Writes the negative log-likelihood and the active units of each run beside the published ones.

    A run's place is taken by a longer one of the same definition, where that is done.

    Args:
        results: Those of the sweep, finished or not.
        folder: Where `comparison.csv` and `comparison.md` go.

    Raises:
        UserError: If the published numbers are missing or malformed.
    """
    theirs = published.published_points("burda2016_table1")
    ours = [row for run in common.longest_runs(results.manifest) if (row := _row(run))]
    if not ours:
        return []
    keys = ["layers", "objective", "num_samples"]
    table = (
        pl.DataFrame(ours)
        .join(theirs, on=keys, how="left")
        .select(*COLUMNS)
        .sort("layers", maintain_order=True)
    )
    write_atomically(folder / "comparison.csv", table.write_csv(float_precision=2))
    write_atomically(folder / "comparison.md", _markdown(table))
    return [folder / "comparison.csv", folder / "comparison.md"]


def _row(run: Path) -> dict[str, object] | None:
    result = result_of(run)
    config, metrics = result.config, result.metrics
    objective = common.class_of(config, "estimator", OBJECTIVES)
    of_mnist = common.class_of(config, "dataset", [MNIST])
    if objective is None or of_mnist is None or "test/log_likelihood" not in metrics:
        return None  # nothing that was published
    return {
        "layers": len(config.get("model.posterior.layer_dims", [0])),
        "objective": OBJECTIVES[objective],
        "num_samples": config["estimator.num_samples"],
        "passes": config["trainer.max_epochs"],
        "nll_nats_ours": -metrics["test/log_likelihood"],
        "active_units_ours": metrics["test/active_units"],
    }


def _markdown(table: pl.DataFrame) -> str:
    rows = [
        ["" if cell is None else f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in table.rows()
    ]
    return markdown_table([*COLUMNS.values()], rows) + "\n"
