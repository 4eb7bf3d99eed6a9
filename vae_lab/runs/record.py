"""A run as a line of a list: how it stands, its settings, its numbers, its folder."""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from vae_lab.config import foreign
from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.runs.choices import choices_of, place_of
from vae_lab.runs.find import directories
from vae_lab.runs.names import FROZEN, RESULT
from vae_lab.runs.result import Result, result_of
from vae_lab.runs.signature import Flat, as_of_now, definition, kind_of
from vae_lab.runs.state import state_of

NO_SETTINGS = ("format", "_recursive_", "_partial_")  # endings of keys that say how a class is made
STATUSES = ("done", "running", "failed", "stopped")


class Record(NamedTuple):
    """A run, finished or not.

    Args:
        folder: Its directory.
        signature: Of the run; the name of its folder as long as there is no result.
        command: Whose run it is, such as `train`.
        status: One of `STATUSES`; `stopped` is a run that has ended without a result and without an error.
        error: The message in which a failed one ended.
        groups: The option of each group, by the group's name.
        settings: The other values that define the result.
        metrics: By name.
        seconds: Of the training; None where nothing was trained.
        finished: When the result was written; None for a run without one.
    """

    folder: Path
    signature: str
    command: str
    status: str
    error: str
    groups: dict[str, str]
    settings: Flat
    metrics: dict[str, float]
    seconds: float | None
    finished: datetime | None

    @property
    def entries(self) -> dict[str, Any]:
        """All that can be asked of the run, by name."""
        first = {"signature": self.signature, "command": self.command, "status": self.status}
        last: dict[str, Any] = {
            "seconds": self.seconds,
            "finished": self.finished,
            "folder": str(self.folder),
        }
        return {
            **self.settings,
            **self.groups,
            **self.metrics,
            **first,
            **last,
            "bytes": size_of(self.folder),
        }


def records(output_dir: Path) -> list[Record]:
    """The runs in a folder of results, in the order in which they were finished; others come last.

    Raises:
        UserError: If there is no such folder.
    """
    if not output_dir.is_dir():
        raise UserError(f"output_dir={output_dir}: there is no such folder; pass that of your results.")
    every = [record_of(path) for path in directories(output_dir)]
    latest = datetime.max.replace(tzinfo=UTC)
    return sorted(every, key=lambda record: (record.finished or latest, record.folder))


def record_of(directory: Path) -> Record:
    """The record of a run."""
    mark = ownership.mark_of(directory)
    command = directory.parent.name.replace("runs", "train") if mark is None else mark.kind
    try:
        result = result_of(directory)
    except UserError:
        return _unfinished(directory, command)
    finished = datetime.fromtimestamp((directory / RESULT).stat().st_mtime, UTC)
    timing = result.get("timing")
    seconds = timing.get("training_seconds") if isinstance(timing, dict) else None
    groups, settings = _settings(as_of_now(result.definition), directory)
    name = str(result.signature or directory.name)
    return Record(directory, name, command, "done", "", groups, settings, _numbers(result), seconds, finished)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    inner = (os.path.join(parent, name) for parent, _, files in os.walk(path) for name in files)
    total = 0
    for each in [str(path), *inner] if not path.is_dir() or path.is_symlink() else inner:
        with suppress(OSError):  # which another process has removed
            total += os.lstat(each).st_size
    return total


def _unfinished(directory: Path, command: str) -> Record:
    state, error = state_of(directory)
    defined: Flat = {}
    with suppress(UserError):
        cfg = foreign.read_whole(directory / FROZEN[0])
        command, defined = kind_of(cfg), definition(cfg)
    groups, settings = _settings(defined, directory)
    status = "stopped" if state == "missing" else state
    return Record(directory, directory.name, command, status, error, groups, settings, {}, None, None)


def _numbers(result: Result) -> dict[str, float]:
    return {name: value for name, value in result.metrics.items() if value is not None}


def _settings(defined: Mapping[str, Any], directory: Path) -> tuple[dict[str, str], Flat]:
    """The groups and the settings of a definition; classes go by the keys of their nodes."""
    groups = choices_of(dict(defined), directory)
    in_groups = {"_target_", *(f"{place_of(name)}._target_" for name in groups)}
    settings = {
        key.removesuffix("._target_"): value
        for key, value in defined.items()
        if key not in in_groups
        and key not in ("format", "_target_")
        and not key.endswith(("._recursive_", "._partial_"))
    }
    return groups, settings
