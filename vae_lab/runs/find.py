"""A run's directory by the name that the user gives."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from vae_lab.errors import UserError, did_you_mean, shortened
from vae_lab.runs.names import FROZEN, RESULT

BEGINNING = re.compile(r"[0-9a-f]{1,11}")  # of a signature
SWEEPS = "sweeps"  # the folder that holds tables of runs and no run


def find_run(run: str, output_dir: str) -> Path:
    """The directory of a run, finished or not, from its directory, its signature or a beginning of that.

    Raises:
        UserError: If there is none, or several begin so.
    """
    runs = Path(output_dir) / "runs"
    for path in (Path(run), runs / run):
        if (path / FROZEN[0]).is_file():
            return path
    known = [path.parent.name for path in runs.glob(f"*/{RESULT}")]
    if run == "inf":
        raise UserError(
            f"run={run}: a signature that reads as a number needs quotes: \"run='59e074444826'\"."
        )
    sweep = next((path for path in (Path(run), runs.parent / SWEEPS / run) if _is_sweep(path)), None)
    if sweep is not None:
        raise UserError(f"run={run} is a sweep; write runs={run} for all its runs.")
    if (path_of_beginning := _with_beginning(run, runs.glob("*"))) is not None:
        return path_of_beginning
    raise UserError(
        f"run={run} is neither a run's directory nor a signature of {runs}{did_you_mean(run, known)}"
    )


def find_result(name: str, output_dir: Path) -> Path:
    """The directory of a run of any command, from the same names.

    Raises:
        UserError: If there is none, or several begin so.
    """
    every = list(directories(output_dir))
    for path in (Path(name), *every):
        if (path == Path(name) or path.name == name) and is_run(path):
            return path
    if (path_of_beginning := _with_beginning(name, every)) is not None:
        return path_of_beginning
    known = did_you_mean(name, [path.name for path in every] if name else [])
    raise UserError(
        f"{shortened(name)!r} is neither a run's directory nor a signature in {output_dir}{known}"
    )


def directories(output_dir: Path) -> list[Path]:
    """The directories of the runs of all commands in a folder of results."""
    return sorted(path for path in output_dir.glob("*/*") if path.parent.name != SWEEPS and is_run(path))


def is_run(path: Path) -> bool:
    """Whether a folder is the directory of a run."""
    return any(os.path.isfile(path / name) for name in (FROZEN[0], RESULT))


def whole_signature(name: str, output_dir: str) -> str:
    """A signature of which this is the beginning, or the name itself where it is another thing's.

    Raises:
        UserError: If several begin so.
    """
    runs = Path(output_dir) / "runs"
    if any(path.exists() for path in (Path(name), runs / name, runs.parent / SWEEPS / name)):
        return name
    path = _with_beginning(name, runs.glob("*"))
    return name if path is None else path.name


def _with_beginning(name: str, paths: Iterable[Path]) -> Path | None:
    """The one run whose signature begins so, or None.

    Raises:
        UserError: If there are several.
    """
    if not BEGINNING.fullmatch(name):
        return None
    runs = sorted(path for path in paths if path.name.startswith(name) and is_run(path))
    if len(runs) > 1:
        names = ", ".join(path.name for path in runs)
        raise UserError(f"{name} is the beginning of {len(runs)} signatures, {names}; give more of one.")
    return runs[0] if runs else None


def _is_sweep(path: Path) -> bool:
    return (path / "manifest.json").is_file()
