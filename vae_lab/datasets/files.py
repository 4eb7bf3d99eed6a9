"""Data files, found and verified."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path


def verified_files(
    root: str, files: Mapping[str, str], download: Callable[[Path], None] | None, how_to_get: str
) -> list[Path]:
    """The paths of a dataset's files, each checked against its SHA-256 checksum.

    Args:
        root: The data folder; `~` stands for the home folder.
        files: Checksum of each file, by its path inside `root`.
        download: Fetches the files into the folder it is given, or None where they can only be put there.
        how_to_get: What the user can do when the files cannot be had, in one sentence.

    Raises:
        FileNotFoundError: If a file is missing and cannot be downloaded.
        ValueError: If a file's checksum differs.
    """
    folder = Path(root).expanduser()
    reason = ""
    if download and not all((folder / name).is_file() for name in files):
        try:
            download(folder)
        except (OSError, RuntimeError) as error:
            reason = f" and could not be downloaded ({type(error).__name__})"
    for name, checksum in files.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{name} is not in {folder}{reason}; {how_to_get}")
        if _sha256(path) != checksum:
            raise ValueError(
                f"{path} is truncated or corrupt: its SHA-256 is not {checksum}; delete it and get it again: "
                f"{how_to_get}"
            )
    return [folder / name for name in files]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
