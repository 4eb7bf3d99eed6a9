"""Runs of one family, which differ in nothing but their budget; a longer one goes on from a shorter one."""

import sys
from pathlib import Path

from vae_lab.files.writing import checksum
from vae_lab.runs.names import FAMILY
from vae_lab.runs.result import Result, is_finished, result_of
from vae_lab.runs.signature import BUDGET, Flat


def marked(directory: Path) -> set[str]:
    """The families of which a run's directory bears the mark."""
    return {mark.name.removeprefix(FAMILY) for mark in directory.glob(f"{FAMILY}*")}


def finished_of_family(runs: Path, family: str) -> list[Path]:
    """The finished runs in a folder that share a definition apart from their budget."""
    return [mark.parent for mark in runs.glob(f"*/{FAMILY}{family}") if is_finished(mark.parent)]


def longer_and_shorter(directory: Path) -> list[Path]:
    """The finished runs beside a run, itself among them, that differ from it in nothing but their budget."""
    return [run for family in marked(directory) for run in finished_of_family(directory.parent, family)]


def longest_shorter(runs: Path, family: str, definition: Flat, code: str | None = None) -> Path | None:
    """The finished run of a family with the largest budget below that of a definition, if there is one.

    Args:
        runs: The folder of the runs.
        family: Which both are of.
        definition: Of the longer run.
        code: Hash of the code that must have made the shorter one; None for any.
    """
    shorter = []
    for run in finished_of_family(runs, family):
        if (run / "checkpoints" / "last.ckpt").is_file() and (run / "metrics.csv").is_file():
            result = result_of(run)
            if _is_of(result, code) and _is_shorter(result.definition, definition):
                shorter.append((result.metrics["samples"], run, result.get("checkpoint_sha256")))
    for _, run, recorded in sorted(shorter, reverse=True):
        if checksum(run / "checkpoints" / "last.ckpt") == recorded:
            return run
        print(
            f"note: nothing is taken over from {run}, whose last.ckpt is not the one on record there.",
            file=sys.stderr,
        )
    return None


def _is_of(result: Result, code: str | None) -> bool:
    """Whether one code alone, that of this hash, has made a result."""
    history = (result.code or {}).get("history", [])
    return code is None or [each["hash"] for each in history] == [code]


def _is_shorter(first: Flat, other: Flat) -> bool:
    """Whether the budget of one is below that of the other, both being of the same kind."""
    for key in BUDGET:
        theirs, mine = first.get(key), other.get(key)
        if (mine is None) != (theirs is None):
            return False
        if theirs is not None and mine is not None and theirs >= mine:
            return False
    return True
