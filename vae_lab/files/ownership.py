"""Whose a folder is and what was written into it: a mark in it says so, and nothing else is ever removed."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from vae_lab.errors import UserError
from vae_lab.files.writing import is_left_behind, own_suffix, write_atomically

MARK = ".vae_lab.json"
RESULT_PREFIXES = (".hydra", ".family-", ".lease", "manifest.json", "metrics.json")  # begin its names
TREES = "wandb/"  # begins the names of folders that are removed as a whole; all other names are files
STAGING = ".new-"  # begins the name of a folder whose files are about to take their places

_accepted: set[Path] = set()  # folders that this process has checked before it wrote anything
_missing: set[Path] = set()  # those that were not there then


class Mark(NamedTuple):
    """The content of a folder's mark.

    Args:
        kind: The command whose result it holds, or `sweep`.
        made: Whether the folder itself was made for it.
        files: Names of what was written there by `written_whole`, relative to the folder.
    """

    kind: str
    made: bool
    files: list[str]


def mark_of(folder: Path) -> Mark | None:
    """The mark of a folder, or None if it has none that can be read."""
    try:
        mark = Mark(**json.loads((folder / MARK).read_bytes())["vae_lab"])
    except (OSError, ValueError, TypeError, LookupError):
        return None
    is_plain = isinstance(mark.files, list) and all(isinstance(name, str) for name in mark.files)
    return mark if is_plain else None


def check_folder(folder: Path, kind: str, key: str = "hydra.run.dir") -> None:
    """Checks that a folder may hold a result: it is absent, empty, or marked with the same kind.

    Args:
        folder: Where the result is to go.
        kind: The command whose result it is, or `sweep`.
        key: By which the user chooses another folder.

    Raises:
        UserError: If it holds anything else.
    """
    for place in (folder, *folder.parents):
        if os.path.lexists(place) and not place.is_dir():
            raise UserError(f"{place} is not a folder; choose another {key}.")
    check_way(folder, key)
    if not folder.exists():
        return
    if (mark := mark_of(folder)) is not None and not _is_strange(folder):
        if mark.kind != kind:
            raise UserError(f"{folder} holds a result of vae-lab {mark.kind}; choose another {key}.")
        return
    others = _others(folder)
    if mark is None and (folder / ".hydra" / "config.yaml").is_file():
        raise UserError(
            f"{folder} holds a run of an earlier version of vae_lab, which is read but neither continued nor "
            f"replaced; move it away, or choose another {key}."
        )
    if others:
        raise UserError(
            f"{folder} holds files that are not of a result of vae-lab {kind}, such as {others[0]}; choose "
            f"another {key}, a new or an empty folder."
        )


def check_way(place: Path, key: str) -> None:
    """Checks that a path does not lead through a folder that is not there, which would be made on the way.

    Raises:
        UserError: If `..` follows on one.
    """
    for way in reversed((place, *place.parents)):
        if way.name == ".." and not way.parent.exists():
            raise UserError(f"{place} leads through {way.parent}, which is not there; choose another {key}.")


def _others(folder: Path) -> list[str]:
    """The names in a folder apart from its mark and drafts of it."""
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if name != MARK and not name.startswith(f".{MARK}.")]


def _is_strange(folder: Path) -> bool:
    """Whether a marked folder holds files but nothing of a result: then its mark is a copy."""
    others = _others(folder)
    return bool(others) and not any(name.startswith(RESULT_PREFIXES) for name in others)


def accept(folder: Path, kind: str) -> None:
    """Checks a folder as `check_folder` does, and remembers which folders on the way to it are not there yet.

    Raises:
        UserError: If it holds anything else.
    """
    check_folder(folder, kind)
    folder = folder.absolute()
    _accepted.add(folder)
    _missing.update(path for path in (folder, *folder.parents) if not path.exists())


def claim_folder(folder: Path, kind: str, key: str = "hydra.run.dir") -> None:
    """Makes a folder and marks it, unless it is marked.

    Raises:
        UserError: If it holds anything else.
    """
    place = folder.absolute()
    if place not in _accepted or mark_of(folder) is not None:
        check_folder(folder, kind, key)
    made = place in _missing or not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if mark_of(folder) is None:
        _write_mark(folder, Mark(kind, made, []))


def adopt(folder: Path, kind: str, files: list[str]) -> None:
    """Marks a folder that is known to hold a result of an earlier version, of which these files are."""
    _write_mark(folder, Mark(kind, False, files))


def is_own(folder: Path) -> bool:
    """Whether a folder is marked, or was not there when this process began."""
    return mark_of(folder) is not None or folder.absolute() in _missing


def leave(folder: Path, names: Iterable[str] = ()) -> None:
    """Removes a folder in which nothing was done: its mark, files of these names, and itself if it was made.

    The folders on the way to it that this process has made go too, if they are empty.
    """
    mark = mark_of(folder)
    remove(folder, names)
    if mark is not None and [path.name for path in folder.iterdir()] == [MARK]:
        (folder / MARK).unlink()
        if mark.made:
            folder.rmdir()
    place = folder.absolute()
    for path in (place, *place.parents):
        if path not in _missing:
            break
        with suppress(OSError):  # where something was put into it meanwhile
            path.rmdir()


def remove(folder: Path, names: Iterable[str]) -> None:
    """Removes files and folders of these names, then the folders that are empty without them.

    Raises:
        UserError: If a link leads out of the folder.
    """
    for name in names:
        path = inside(folder, name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        for parent in path.parents:
            if parent == folder or not parent.is_relative_to(folder):
                break
            with suppress(OSError):
                parent.rmdir()


def move(folder: Path, to: Path, names: Iterable[str]) -> None:
    """Moves files and folders of these names, those that are there, to the same names elsewhere."""
    for name in names:
        path = inside(folder, name)
        if os.path.lexists(path):
            target = inside(to, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            path.replace(target)
    for name in names:
        with suppress(OSError):
            if (parent := (folder / name).parent) != folder:
                parent.rmdir()


def inside(folder: Path, name: str) -> Path:
    """The path of a name in a folder.

    Raises:
        UserError: If the name, or a link on the way, leads out of it, or a folder has that name.
    """
    path = folder / name
    if not name or ".." in Path(name).parts or not path.parent.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{path} leads out of {folder}, where nothing is replaced; put the files themselves there."
        )
    if path.is_dir() and not path.is_symlink() and not name.startswith(TREES):
        raise UserError(f"{path} is a folder, which vae_lab has not made; move it away.")
    return path


def published(folder: Path, files: list[str] | None = None) -> list[str]:
    """The names of what `written_whole` has written in a marked folder; `files` takes their place."""
    mark = mark_of(folder)
    assert mark is not None
    if files is not None:
        _write_mark(folder, mark._replace(files=files))
    return mark.files


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Gives a folder for files, which take their places in a marked one together when the body ends.

    They take the place of what was written so before; names that are not written again are removed.

    Raises:
        UserError: If a file that was not written so is in the way.
    """
    for left in folder.glob(f"{STAGING}*"):
        if is_left_behind(left, left.name.removeprefix(STAGING)):
            shutil.rmtree(left, ignore_errors=True)
    staging = folder / f"{STAGING}{own_suffix()}"
    staging.mkdir()
    try:
        yield staging
        _place(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _place(staging: Path, folder: Path) -> None:
    mark = mark_of(folder)
    assert mark is not None
    names = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if not path.is_dir())
    for name in names:
        if os.path.lexists(folder / name) and name not in mark.files:
            raise UserError(
                f"{folder / name} was not written by vae_lab and is in the way of a file of this name; move "
                "it, and give the same command again."
            )
    _write_mark(folder, mark._replace(files=sorted({*mark.files, *names})))
    for name in names:
        if not _is_same(staging / name, folder / name):
            move(staging, folder, [name])
    remove(folder, set(mark.files) - set(names))
    _write_mark(folder, mark._replace(files=names))


def _is_same(first: Path, other: Path) -> bool:
    return other.is_file() and first.read_bytes() == other.read_bytes()


def _write_mark(folder: Path, mark: Mark) -> None:
    if mark != mark_of(folder):
        write_atomically(folder / MARK, json.dumps({"vae_lab": mark._asdict()}, indent=1) + "\n")
