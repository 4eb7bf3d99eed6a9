"""Tables of runs, whose rows have different keys."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl


def scalar(value: Any) -> Any:
    """A value as a cell can hold it: a list or a dictionary as JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """A table of rows with different keys; a column of numbers and words holds words."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1:
            kind = float if kinds <= {int, float} else str
            values = [None if value is None else kind(value) for value in values]
        columns[name] = pl.Series(name, values, strict=False)
    return pl.DataFrame(columns)
