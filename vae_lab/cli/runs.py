"""Runs in the terminal: a list of several, one, two side by side, and what a deletion takes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from vae_lab.errors import on_one_line
from vae_lab.runs.delete import Deletion
from vae_lab.runs.record import Record, size_of
from vae_lab.runs.table import differing_keys
from vae_lab.sweep.show import plain_console

STYLES = {"failed": "red", "running": "green", "stopped": "yellow"}
MEASURED = ("test/elbo", "test/log_likelihood")
GROUPS = ("dataset", "model", "estimator")  # which are shown of one run too, which differs from none
NARROW = ("signature", "status", "frees")
UNITS = ("bytes", "kB", "MB", "GB")


def show_records(chosen: Sequence[Record], conditions: Sequence[str], output_dir: Path) -> None:
    """Prints a table with a line for each run.

    Args:
        chosen: The runs.
        conditions: Which hold for them.
        output_dir: The folder of results that they come from.
    """
    if not chosen:
        which = f" with {' '.join(conditions)}" if conditions else ""
        return print(f"no run in {output_dir}{which}")
    keys = _columns(chosen)
    table = _table(*keys)
    for record in chosen:
        entries = record.entries
        table.add_row(*(cell(entries.get(key)) for key in keys), style=STYLES.get(record.status, ""))
    _print(table)


def show_record(record: Record) -> None:
    """Prints the settings, the numbers and the files of a run."""
    about: dict[str, Any] = {"command": record.command, "status": record.status, "finished": record.finished}
    about |= {"seconds": record.seconds, "error": record.error or None}
    _pairs(str(record.folder), {name: value for name, value in about.items() if value is not None})
    _pairs("settings", record.groups | record.settings)
    _pairs("numbers", record.metrics)
    files = (path for path in sorted(record.folder.rglob("*")) if not path.is_dir() or path.is_symlink())
    _pairs("files", {str(path.relative_to(record.folder)): in_bytes(size_of(path)) for path in files})


def show_difference(one: Record, other: Record) -> None:
    """Prints the settings and the numbers in which two runs differ, side by side."""
    table = _table("", one.signature, other.signature)
    for mine, theirs in ((_told(one), _told(other)), (one.metrics, other.metrics)):
        for key in dict.fromkeys([*mine, *theirs]):
            if mine.get(key) != theirs.get(key) or (key in mine) != (key in theirs):
                table.add_row(key, _side(mine, key), _side(theirs, key))
    _print(table) if table.row_count else print("no setting and no number differs")


def show_deletions(chosen: Sequence[Record], deletions: Sequence[Deletion]) -> None:
    """Prints the runs that are to be deleted, with what that frees, and the files that stay."""
    left_out = ("signature", "finished", *MEASURED)
    keys = [key for key in _columns(chosen) if key not in left_out] if chosen else []
    table = _table("folder", *keys, "frees")
    for record, deletion in zip(chosen, deletions, strict=True):
        entries = record.entries
        cells = [cell(entries.get(key)) for key in keys]
        table.add_row(on_one_line(str(record.folder)), *cells, in_bytes(deletion.bytes))
    if chosen:
        _print(table)
    for deletion in deletions:
        if deletion.others:
            names = on_one_line(", ".join(deletion.others))
            print(f"note: {deletion.folder} keeps {names}, which vae_lab did not write.")


def cell(value: Any) -> str:
    """A value as a table shows it.

    Example:
        >>> cell(-43.4845), cell(0.00012345), cell(200), cell([128]), cell(True), cell(None)
        ('-43.48', '0.0001234', '200', '[128]', 'true', '')
    """
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) >= 10 else f"{value:.4g}"
    return "" if value is None else on_one_line(str(value))


def in_bytes(count: int) -> str:
    """A size in words.

    Example:
        >>> in_bytes(999), in_bytes(333174), in_bytes(2_500_000)
        ('999 bytes', '333.2 kB', '2.5 MB')
    """
    size, unit = float(count), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {UNITS[unit]}" if unit else f"{count} bytes"


def _columns(chosen: Sequence[Record]) -> list[str]:
    """The keys that tell the runs apart, beside those that every list has."""
    several = ["command"] if len({record.command for record in chosen}) > 1 else []
    run = ["run"] if any("run" in record.settings for record in chosen) else []
    differing = differing_keys(chosen)
    groups = [name for name in GROUPS if name in differing or (len(chosen) == 1 and name in chosen[0].groups)]
    others = [key for key in differing if key not in (*groups, "run")]
    settings = [key for key in others if not _follows(key, chosen)]
    measured = [name for name in MEASURED if any(name in record.metrics for record in chosen)]
    return ["signature", *several, "status", *run, *groups, *settings, *measured, "finished"]


def _follows(key: str, chosen: Sequence[Record]) -> bool:
    """Whether a setting is one of an option that is shown, which has it everywhere with the same value."""
    root = key.replace("/", ".").partition(".")[0]
    if root == key:
        return False
    values: dict[tuple[str, str | None], set[str]] = {}
    for record in chosen:
        value = repr((record.groups | record.settings).get(key))
        values.setdefault((record.command, record.groups.get(root)), set()).add(value)
    return all(len(each) == 1 for each in values.values())


def _told(record: Record) -> dict[str, Any]:
    return {"command": record.command, "status": record.status} | record.groups | record.settings


def _side(values: Mapping[str, Any], key: str) -> str:
    """A value of one of two runs."""
    return "-" if key not in values else "null" if values[key] is None else cell(values[key])


def _pairs(title: str, values: Mapping[str, Any]) -> None:
    """Prints names with values under a title."""
    if not values:
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, value in values.items():
        table.add_row(on_one_line(name), "null" if value is None else cell(value))
    plain_console(markup=False).print(on_one_line(title), style="bold")
    _print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in columns:
        is_narrow = name in NARROW or name == columns[0]  # which even a narrow terminal shows on one line
        justify: Literal["left", "right"] = "right" if name in (*MEASURED, "frees") else "left"
        table.add_column(name, justify=justify, no_wrap=is_narrow, overflow="fold")
        table.columns[-1].min_width = 12 if name == "signature" else None
    return table


def _print(table: Table) -> None:
    plain_console(markup=False).print(table)
