"""Deletion of runs: of the files that this package wrote, and of no others."""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.files.writing import is_left_behind
from vae_lab.runs import earlier, lease
from vae_lab.runs.names import EARLIER, HYDRA_FILES, OUTPUT_LOG, RESTART_MARK, RESULT, left_by_runs
from vae_lab.runs.record import size_of


class Deletion(NamedTuple):
    """The files of a run that are to be deleted.

    Args:
        folder: The run's directory.
        names: The files in it that this package wrote; folders of W&B's as wholes.
        others: Files that somebody else has put there, which stay.
        bytes: Size of those that go.
    """

    folder: Path
    names: list[str]
    others: list[str]
    bytes: int


def deletion_of(folder: Path) -> Deletion:
    """The deletion of a run; changes nothing.

    Raises:
        UserError: If no mark says which files this package wrote, or a link leads out of the folder.
    """
    mark = ownership.mark_of(folder)
    if folder.name == EARLIER:
        raise UserError(f"{folder} is a part of the run {folder.parent}; delete that.")
    if mark is None:
        raise UserError(
            f"{folder} has no list of the files that vae_lab wrote there; remove the folder by hand."
        )
    fixed = [*HYDRA_FILES, OUTPUT_LOG, f"{mark.kind}.log", RESTART_MARK, *_drafts(folder)]
    named = dict.fromkeys(
        [RESULT, *left_by_runs(folder), *fixed]
    )  # the result goes first: the rest is not whole
    names = [name for name in named if os.path.lexists(ownership.inside(folder, name))]
    aside = folder / EARLIER
    gone = [*names, ownership.MARK, *(f"{EARLIER}/{name}" for name in _of_earlier(aside))]
    total = sum(size_of(folder / name) for name in gone)
    return Deletion(folder, names, _others(folder, gone), total)


def delete(deletion: Deletion) -> None:
    """Deletes the files of a run, under its lease, and its folder if nothing else is in it.

    Raises:
        Busy: If a living process does the run.
    """
    folder = deletion.folder
    mark = ownership.mark_of(folder)
    with lease.hold(folder):
        earlier.drop(folder)
        ownership.remove(folder, [*deletion.names, ownership.MARK])
    if mark is not None and mark.made:
        with suppress(OSError):  # which others' files are in
            folder.rmdir()


def _of_earlier(aside: Path) -> list[str]:
    """The names of what is deleted of an earlier result."""
    if not aside.is_dir():
        return []
    names = (*left_by_runs(aside), *HYDRA_FILES, ownership.MARK)
    return [name for name in names if os.path.lexists(aside / name)]


def _drafts(folder: Path) -> list[str]:
    """The names of drafts that killed processes have left."""
    names = [path.relative_to(folder) for path in folder.rglob(".*vae_lab-*") if path.is_file()]
    return [
        str(name)
        for name in names
        if is_left_behind(folder / name, f"vae_lab-{name.name.rpartition('vae_lab-')[2]}")
    ]


def _others(folder: Path, gone: list[str]) -> list[str]:
    """The names of files in a folder that are not among those that go, nor in a folder that does."""
    every = [path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    left = [path for path in every if not {str(path), *map(str, path.parents)} & set(gone)]
    return sorted(
        str(path) for path in left if not str(path).startswith((lease.PREFIX, *lease.TEMPORARY_PREFIXES))
    )
