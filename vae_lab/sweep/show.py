"""A sweep in the terminal."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:  # polars, which takes time
    from vae_lab.sweep.table import Results

WIDE = 500  # columns


def plain_console(**settings: Any) -> Console:
    """A console for tables; what goes to a file or a pipe is as wide as it needs to be, and not cut."""
    console = Console(highlight=False, **settings)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    return console


def show_settings(results: "Results", console: Console) -> None:
    """Prints the settings of a sweep, the metric with its 95 % interval."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    metric = results.manifest.metric
    axes = results.settings.columns[: results.settings.columns.index(metric)]
    for name in axes:
        table.add_column(name, style="bold", no_wrap=True)
    for name in (metric, "95 % interval", "repeats"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in results.settings.iter_rows(named=True):
        mean = "" if row[metric] is None else f"{row[metric]:,.2f}"
        interval = f"{row['low']:,.2f} to {row['high']:,.2f}" if row["repeats"] > 1 else ""
        table.add_row(*(row[name] for name in axes), mean, interval, str(row["repeats"]))
    console.print(f"{results.manifest.name}: {results.counts}", style="bold")
    console.print(table)
