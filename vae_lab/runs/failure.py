"""Traces of an attempt at a run that made no result."""

import json
import logging
from contextlib import suppress
from pathlib import Path

from vae_lab.config.explain import explain, in_words
from vae_lab.errors import Busy
from vae_lab.files import ownership
from vae_lab.files.writing import write_atomically
from vae_lab.runs.names import FAILURE, HYDRA_FILES, OUTPUT_LOG, RESTART_MARK


def record(error: Exception, path: Path, command: str) -> None:
    """Leaves a failure in the directory of a run: the traceback in its log, the message in `failure.json`.

    A directory in which nothing was done is removed instead.
    """
    remove_if_unused(path)
    if not path.is_dir() or not ownership.is_own(path) or isinstance(error, Busy):
        return
    logging.getLogger(__name__).info("The run failed.", exc_info=error)
    with suppress(OSError):  # on a full disk
        write_failure(path, explain(error, command) or f"{type(error).__name__}: {in_words(error)}")


def write_failure(path: Path, error: str) -> None:
    """Leaves the message of a failure in a run's directory."""
    write_atomically(path / FAILURE, json.dumps({"error": error}) + "\n")


def read_failure(path: Path) -> str | None:
    """The message of the failure in which the last attempt at a run ended."""
    try:
        return str(json.loads((path / FAILURE).read_text())["error"])
    except (OSError, ValueError, LookupError):
        return None


def remove_if_unused(path: Path) -> None:
    """Removes a run's directory if nothing was done in it, with the folders that were made for it."""
    if not path.is_dir() or not ownership.is_own(path):
        return
    names = [entry.name for entry in path.iterdir()]
    logs = [
        name for name in names if name.endswith(".log") and name != OUTPUT_LOG and (path / name).is_file()
    ]
    if not set(names) - {*logs, ".hydra", RESTART_MARK, ownership.MARK}:
        ownership.leave(path, [*logs, *HYDRA_FILES, RESTART_MARK])
