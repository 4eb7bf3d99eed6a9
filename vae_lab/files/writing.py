"""Files: written in full or not at all, and known by what they hold."""

import csv
import glob
import hashlib
import io
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from vae_lab.errors import UserError

LARGE_FILE_BYTES = 1e9  # bytes of which the user is told that they are read
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow would hand others to programs
RESULTS = (".vae_lab.json", ".hydra")  # what lies in folders of results alone
LEFT_SECONDS = 86_400.0  # after which a draft is considered left behind, whoever made it
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def near(path: Path) -> Path:
    """A path as one types it in the folder where one is."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is there in full or not at all, also if several processes write it.

    Drafts of it that killed processes have left are removed.
    """
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if is_left_behind(draft, draft.name.removeprefix(f".{path.name}.")):
            draft.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{own_suffix()}")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def replace(partial: Path, path: Path) -> None:
    """Renames a file that is written in full to its name, for good: also if the machine stops just then."""
    partial.replace(path)
    with suppress(OSError):  # not every file system can sync a folder
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def own_suffix() -> str:
    """Ending of the names of drafts of this process."""
    return f"vae_lab-{socket.gethostname()}-{os.getpid()}"


def is_left_behind(draft: Path, suffix: str) -> bool:
    """Whether the process that made a draft is gone: seen to be, or taken to be after so long."""
    host, _, pid = suffix.removeprefix("vae_lab-").rpartition("-")
    if not suffix.startswith("vae_lab-") or not pid.isdigit():
        return False
    with suppress(OSError):
        if time.time() - draft.stat().st_mtime > LEFT_SECONDS:
            return True
    if host != socket.gethostname() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def read_rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a CSV file, at whose end a killed process or a full disk may leave part of one."""
    text = path.read_bytes().decode()
    whole = text[: text.rfind("\n") + 1]
    return [row for row in csv.DictReader(io.StringIO(whole)) if None not in row.values() and None not in row]


def as_text(name: str) -> str:
    r"""A file's name as it can be written into a table: what is no UTF-8 in it by its bytes.

    Example:
        >>> print(as_text(os.fsdecode(b"caf\xe9.png")))
        caf\xe9.png
    """
    return os.fsencode(name).decode(errors="backslashreplace")


def image_files(folder: Path) -> list[str]:
    """The images in a folder and those below it, by their paths inside it, in order; hidden ones are none.

    Linked folders are followed, each once. Results in folders below it are no data.
    """
    images, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        state = os.stat(parent)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _is_result(parent, name)
        )
        below = os.path.relpath(parent, folder)
        for name in names:
            if name.lower().endswith(IMAGES) and not name.startswith("."):
                images.append(os.path.normpath(os.path.join(below, name)))
    return sorted(images)


def _is_result(parent: str, name: str) -> bool:
    """Whether a folder holds a run, a sweep or what W&B has written."""
    return name == "wandb" or any(os.path.exists(os.path.join(parent, name, mark)) for mark in RESULTS)


@cache
def content(path: Any) -> str | None:
    """The SHA-256 of a file, or of the images in a folder and their names; None if there is nothing.

    Found once for each size and time of the files: `$XDG_CACHE_HOME/vae_lab/checksums.json` keeps it.

    Raises:
        UserError: If a file cannot be read.
    """
    if not isinstance(path, str):
        return None
    try:
        place = Path(path).expanduser().absolute()
        if place.is_dir():
            names = image_files(place)
            return _cached(place, names, lambda: _of_folder(place, names)) if names else None
        return _cached(place, [""], lambda: checksum(place)) if place.is_file() else None
    except (OSError, RuntimeError) as error:
        raise UserError(f"dataset.path: {path} cannot be read ({error}).") from error


def _of_folder(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(os.fsencode(name) + f" {checksum(folder / name)}\n".encode())
    return digest.hexdigest()


def _cached(place: Path, names: list[str], find: Callable[[], str]) -> str:
    """The value of `find`, looked for anew only when a file has changed."""
    states = [os.stat(place / name) for name in names]
    listing = hashlib.sha256(b"1\n")  # the version of what is kept
    for name, state in zip(names, states, strict=True):
        numbers = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        listing.update(os.fsencode(name) + f" {numbers}\n".encode())
    key, now = repr(str(place)), listing.hexdigest()
    known = _known(_store())
    if known.get(key, {}).get("listing") == now:
        return known[key]["content"]
    if (size := sum(state.st_size for state in states)) > LARGE_FILE_BYTES:
        print(f"looking once at the {size / 1e9:.1f} GB in {place}", file=sys.stderr)
    result = find()
    known = _known(_store()) | {key: {"listing": now, "content": result}}
    with suppress(OSError):  # found again the next time
        _store().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_store(), json.dumps(known))
    return result


def _store() -> Path:
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(folder if os.path.isabs(folder) else os.devnull, "vae_lab", "checksums.json")


def _known(store: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(store.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, dict) and "content" in entry}
