"""What a finished run shows in the terminal."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


def show(result: dict[str, Any], directory: Path) -> None:
    """Prints the short table of a run's result."""
    metrics, config = result["metrics"], result["definition"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="dim")
    beta = config.get("estimator.beta", 1)
    rows = [
        (
            "test ELBO",
            "test/elbo",
            "nats per datum" + (f", beta = 1 (trained with {beta})" if beta != 1 else ""),
        ),
        ("reconstruction", "test/reconstruction", "mean of log p(x|z)"),
        ("KL", "test/kl", config.get("estimator.kl", "")),
        (
            "log-likelihood",
            "test/log_likelihood",
            f"importance-weighted, K = {config['evaluation.importance_samples']}",
        ),
        ("exact log-likelihood", "test/exact_log_likelihood", "of the distribution that the data come from"),
    ]
    for label, key, note in rows:
        if key in metrics:
            table.add_row(label, f"{metrics[key]:.2f}", note)
        elif key != "test/exact_log_likelihood":
            table.add_row(label, "n/a", f"not defined for {result['estimator']}")
    table.add_row("active units", str(metrics["test/active_units"]), f"of {config['model.latent_dim']}")
    speed = result["timing"]["samples_per_second"]
    table.add_row("training", f"{speed:,.0f}", f"samples/s, {metrics['samples']:,} samples")
    console = Console(highlight=False)
    console.print(table)
    for note in result["notes"]:
        console.print(f"note: {note}", style="yellow", soft_wrap=True)
    console.print(f"in {directory}", soft_wrap=True)
