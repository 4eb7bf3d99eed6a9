"""The metrics of a run as rows of a file that survives a resume."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from vae_lab.files.writing import read_rows, replace


class MetricsCsv(Logger):
    """Appends a row per call to `metrics.csv`, floats in full precision.

    What will come again is removed first, so that no step stands twice: what lies beyond the step from
    which a run is resumed, and the test's row. A metric that is new widens the table.

    Args:
        path: The file.
        resumed_at: The step of the checkpoint that is resumed; 0 for a run that begins, in which all rows
            come again, those before the first step too.
    """

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        super().__init__()
        self.path = path
        rows = self._read()
        self.last_step = max((int(row["step"]) for row in rows), default=0)  # before anything is removed
        self.columns = list(rows[0]) if rows else []
        kept = [row for row in rows if resumed_at and int(row["step"]) <= resumed_at and not _is_test(row)]
        if len(kept) < len(rows) or not _ends_whole(path) or _is_shared(path):
            self._rewrite(kept)
        self._create()

    @property
    def name(self) -> str:
        return "metrics.csv"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration is in the run's directory."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        new = [name for name in row if name not in self.columns]
        if new:
            rows = self._read()
            self.columns += new
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def numbers(self) -> list[tuple[int, dict[str, float]]]:
        """Step and metrics of every row."""
        numbers = []
        for row in self._read():
            step = int(row.pop("step"))
            numbers.append((step, {name: float(value) for name, value in row.items() if value}))
        return numbers

    def _read(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        return [row for row in read_rows(self.path) if row.get("step", "").isdigit()]

    @rank_zero_only
    def _create(self) -> None:
        """Makes the file before its first row, since a checkpoint may come earlier."""
        self.path.touch()

    @rank_zero_only
    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        replace(partial, self.path)


def _ends_whole(path: Path) -> bool:
    """Whether the next row would begin a line of its own."""
    return not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")


def _is_shared(path: Path) -> bool:
    """Whether the file has another name too, as in a copy by links, under which no row may appear."""
    return path.is_symlink() or (path.is_file() and path.stat().st_nlink > 1)


def _is_test(row: Mapping[str, str]) -> bool:
    return any(name.startswith("test/") and value for name, value in row.items())
