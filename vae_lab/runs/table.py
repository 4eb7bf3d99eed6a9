"""The runs in a folder of results as one table."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_lab.runs.conditions import matching
from vae_lab.runs.record import Record, records

if TYPE_CHECKING:  # which takes time
    import polars as pl

ABSENT = object()


def runs(output_dir: str | Path = "outputs", *conditions: str) -> "pl.DataFrame":
    """A table of the runs in a folder of results, with a row for each, in the order in which they ended.

    Its columns: `signature`, `command`, `status` (done, running, failed or stopped), the option of each group
    such as `estimator`, the settings in which runs of a command differ, the metrics on the test part,
    `samples`, `seconds` of training, `finished`, `folder` and `bytes`. A list among the settings is JSON.

    Args:
        output_dir: The folder.
        conditions: Of which all must hold, such as `"estimator=rloo"` or `"seed=0,1"`.

    Raises:
        UserError: If there is no such folder, no run has the key of a condition, or its value is of another
            kind.

    Example:
        >>> import vae_lab
        >>> vae_lab.runs("outputs", "test/elbo>-100", "status=done")  # doctest: +SKIP
    """
    import polars as pl

    from vae_lab.runs.frame import frame, scalar

    chosen = matching(records(Path(output_dir)), conditions)
    names = columns_of(chosen)
    rows = [record.entries for record in chosen]
    table = frame([{name: scalar(row.get(name)) for name in names} for row in rows])
    types: dict[str, Any] = {
        "signature": pl.String,
        "command": pl.String,
        "status": pl.String,
        "samples": pl.Int64,
        "seconds": pl.Float64,
        "finished": pl.Datetime("us", "UTC"),
        "folder": pl.String,
        "bytes": pl.Int64,
    }
    if not rows:
        return pl.DataFrame(schema=types)
    return table.with_columns(pl.col(name).cast(kind) for name, kind in types.items())


def columns_of(chosen: Sequence[Record]) -> list[str]:
    """The names of the columns of a table of runs."""
    groups = sorted(_union(record.groups for record in chosen), key=lambda name: "/" in name)
    inner = {name for name in groups if "/" in name}
    differing = differing_keys(chosen)
    shown = [name for name in groups if name not in inner or name in differing]
    settings = [name for name in differing if name not in [*groups, "run"]]
    measured = [name for name in _union(record.metrics for record in chosen) if name.startswith("test/")]
    last = ["samples", "seconds", "finished", "folder", "bytes"]
    run = ["run"] if any("run" in record.settings for record in chosen) else []  # of which a result was made
    return ["signature", "command", "status", *run, *shown, *settings, *measured, *last]


def differing_keys(chosen: Sequence[Record]) -> list[str]:
    """The groups and the settings in which runs of one command differ."""
    rows = [(record.command, {**record.groups, **record.settings}) for record in chosen if record.settings]
    return [key for key in _union(row for _, row in rows) if _differs(key, rows)]


def _differs(key: str, rows: Sequence[tuple[str, dict[str, Any]]]) -> bool:
    values: dict[str, list[Any]] = {}
    for command, row in rows:
        values.setdefault(command, []).append(row.get(key, ABSENT))
    return any(value != of_command[0] for of_command in values.values() for value in of_command)


def _union(names: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for each in names for name in each))
