"""A copy of a result at a place that the user names."""

import os
from pathlib import Path

from vae_lab.errors import UserError
from vae_lab.files.writing import write_atomically


def check_destination(out: str, suffix: str) -> None:
    """Checks that a file can be put there.

    Args:
        out: The path that the user gave.
        suffix: In which it must end, such as `.parquet`.

    Raises:
        UserError: If it ends otherwise, or there is no such folder, or none that can be written to.
    """
    path = Path(out).expanduser()
    if path.suffix != suffix:
        raise UserError(f"out must end in {suffix}, got {out}.")
    if path.is_dir():
        raise UserError(f"out={out} is a folder; name a file.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UserError(f"out={out}: there is no folder {folder}; make it first.")
    if not os.access(folder, os.W_OK):
        raise UserError(f"out={out}: the folder {folder} cannot be written to; choose another.")


def export(result: Path, out: str) -> None:
    """Puts a copy of a result there, in full or not at all; a file that is there is replaced.

    Raises:
        UserError: As `check_destination`.
    """
    check_destination(out, result.suffix)
    write_atomically(Path(out).expanduser(), result.read_bytes())
