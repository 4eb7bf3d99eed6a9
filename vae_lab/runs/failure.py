"""The failure of a run, left in its directory."""

import logging
from contextlib import suppress
from pathlib import Path

from vae_lab.config.explain import explain, in_words
from vae_lab.errors import Busy
from vae_lab.files.ownership import is_own
from vae_lab.runs.directory import remove_if_unused, write_failure


def record(error: Exception, path: Path, command: str) -> None:
    """Leaves a failure in the directory of a run: the traceback in its log, the message in `failure.json`.

    A directory in which nothing was done is removed instead.
    """
    remove_if_unused(path)
    if not path.is_dir() or not is_own(path) or isinstance(error, Busy):
        return
    logging.getLogger(__name__).info("The run failed.", exc_info=error)
    with suppress(OSError):  # on a full disk
        write_failure(path, explain(error, command) or f"{type(error).__name__}: {in_words(error)}")
