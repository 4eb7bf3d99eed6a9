"""Files: written in full or not at all, and known by what they hold."""

import hashlib
import json
import os
import socket
from collections.abc import Callable
from functools import cache
from pathlib import Path

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The checksum of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is there in full or not at all, also if several processes write it."""
    partial = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def image_files(folder: Path) -> list[str]:
    """The images in a folder and those below it, by their paths inside it, in order; hidden ones are none."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(parent, folder)
        for name in names:
            if name.lower().endswith(IMAGES) and not name.startswith("."):
                found.append(os.path.normpath(os.path.join(below, name)))
    return sorted(found)


@cache
def content(path: str) -> str | None:
    """The SHA-256 of a file, or of the images in a folder and their names; None if there is nothing.

    Found once for each size and time of the files: `$XDG_CACHE_HOME/vae_lab/checksums.json` keeps it.
    """
    place = Path(path).expanduser().absolute()
    if place.is_dir():
        names = image_files(place)
        return _cached(place, _listing(place, names), lambda: _of_folder(place, names)) if names else None
    if place.is_file():
        return _cached(place, _listing(place.parent, [place.name]), lambda: checksum(place))
    return None


def _listing(folder: Path, names: list[str]) -> str:
    """What changes with the name, the size or the time of a file."""
    digest = hashlib.sha256()
    for name in names:
        state = os.stat(folder / name)
        digest.update(f"{name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _of_folder(folder: Path, names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name} {checksum(folder / name)}\n".encode())
    return digest.hexdigest()


def _cached(place: Path, listing: str, find: Callable[[], str]) -> str:
    store = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vae_lab" / "checksums.json"
    try:
        known = json.loads(store.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get(str(place), [None])[0] == listing:
        return known[str(place)][1]
    found = find()
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(store, json.dumps(known | {str(place): [listing, found]}))
    except OSError:
        pass  # found again the next time
    return found
