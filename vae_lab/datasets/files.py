"""Data files, found and verified."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from vae_lab.files.writing import checksum


def verified_files(
    root: str, files: Mapping[str, str], download: Callable[[Path], None] | None, how_to_get: str
) -> list[Path]:
    """The paths of a dataset's files, each checked against its checksum.

    Args:
        root: The data folder; `~` stands for the home folder.
        files: Checksum of each file, by its path inside `root`: 64 digits of SHA-256, or 32 of MD5.
        download: Fetches the files into the folder it is given, or None where they can only be put there.
        how_to_get: What the user can do when the files cannot be had, in one sentence.

    Raises:
        FileNotFoundError: If a file is missing and cannot be downloaded.
        ValueError: If a file's checksum differs.
    """
    folder = Path(root).expanduser()
    reason = ""
    if download and not all((folder / name).is_file() for name in files):
        absent = _absent_folders(folder, files)
        try:
            download(folder)
        except (OSError, RuntimeError) as error:
            for path in absent:
                with suppress(OSError):  # where it is absent still, or something was put into it
                    path.rmdir()
            reason = f" and could not be downloaded ({type(error).__name__})"
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(f"{name} is not in {folder}{reason}; {how_to_get}")
        algorithm = "md5" if len(expected) == 32 else "sha256"
        if checksum(path, algorithm) != expected:
            raise ValueError(
                f"{path} is truncated or corrupt: its {algorithm.upper()} is not {expected}; delete it and "
                f"get it again: {how_to_get}"
            )
    return [folder / name for name in files]


def _absent_folders(folder: Path, files: Iterable[str]) -> list[Path]:
    """The folders on the way to files that are not there, the innermost first."""
    ways = {parent for name in files for parent in (folder / name).absolute().parents}
    return sorted((path for path in ways if not path.exists()), reverse=True)
