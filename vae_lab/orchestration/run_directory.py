"""What a run leaves on disk, and what that tells."""

import csv
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from vae_lab.errors import UserError, did_you_mean
from vae_lab.files import checksum, write_atomically
from vae_lab.orchestration import lease
from vae_lab.orchestration.signature import BUDGET, Flat, definition, family, signature

OUTPUT_LOG = "output.log"  # what a launched job prints
FAILURE = "failure.json"
FAMILY = ".family-"  # marks a run with the signature that it has apart from its budget
AFRESH = ".afresh"  # marks a run that must begin at its beginning


class RunDirectory:
    """The directory of one run; the one place that knows the file names.

    Args:
        path: The directory, named by the run's signature unless the user chose it.
        cfg: The run's configuration.
    """

    def __init__(self, path: Path, cfg: DictConfig) -> None:
        self.path = path
        self.definition = definition(cfg)
        self.family = family(cfg)
        self.origin = {"signature": signature(cfg), "family": self.family}
        self.metrics_csv = path / "metrics.csv"
        self.metrics_json = path / "metrics.json"
        self.code_diff = path / "code.diff"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.best_checkpoint = self.checkpoints / "best.ckpt"

    def tested_checkpoint(self, select: str) -> Path:
        """The checkpoint with the weights that are tested."""
        return self.best_checkpoint if select == "best" else self.last_checkpoint

    def finished(self) -> dict[str, Any] | None:
        """The content of `metrics.json` if the run is done.

        Raises:
            UserError: If the directory holds the result of another configuration.
        """
        if not self.metrics_json.is_file():
            return None
        result = json.loads(self.metrics_json.read_text())
        self.check_same(result["definition"])
        return result

    def check_same(self, stored: Flat) -> None:
        """Raises `UserError` if what is stored here is another configuration's."""
        for key in sorted(stored.keys() | self.definition.keys()):
            there, here = stored.get(key), self.definition.get(key)
            if there == here:
                continue
            if key == "dataset.content":
                now = "there is nothing now" if here is None else "there is something else now"
                raise UserError(
                    f"{self.path} was made of the data at dataset.path, where {now} (seen from "
                    f"{Path.cwd()}); put them back, or train again with rerun=true."
                )
            raise UserError(
                f"{self.path} holds a run of another configuration: {key} is {there} there and {here} "
                "here. Choose another hydra.run.dir, or say rerun=true to replace it."
            )

    def clear(self) -> None:
        """Removes the results of an earlier run, the mark of completion first; it begins at its beginning."""
        self.metrics_json.unlink(missing_ok=True)
        for path in self.path.iterdir():
            kept = path.name == OUTPUT_LOG or path.name.startswith((lease.PREFIX, *lease.PASSING))
            if not kept and not _is_hydras(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (self.path / AFRESH).touch()

    def begin(self, code: str | None = None) -> None:
        """Marks the run's family, and takes over what a shorter run of the family has done.

        Nothing is taken over after `clear`.

        Args:
            code: Hash of the code that must have made what is taken over; None for any.

        Raises:
            UserError: If an unfinished run of another definition lies here.
        """
        (self.path / FAILURE).unlink(missing_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        mine = self.path / f"{FAMILY}{self.family}"
        if self.last_checkpoint.exists() and not mine.exists() and any(self.path.glob(f"{FAMILY}*")):
            raise UserError(
                f"{self.path} holds an unfinished run of another configuration, or of other data. Choose "
                "another hydra.run.dir, or say rerun=true to replace it."
            )
        takes_over = not self.last_checkpoint.exists() and not (self.path / AFRESH).exists()
        if takes_over and (shorter := self._longest_shorter_run(code)):
            shutil.copy(shorter / "metrics.csv", self.metrics_csv)
            copy = self.last_checkpoint.with_suffix(".partial")
            shutil.copy(shorter / "checkpoints" / "last.ckpt", copy)
            copy.replace(self.last_checkpoint)
        mine.touch()

    def check_origin(self, checkpoint: Path, origin: Mapping[str, Any]) -> None:
        """Raises `UserError` if a checkpoint in this directory names a run of another family."""
        if origin and origin["family"] != self.family:
            raise UserError(
                f"{checkpoint} is of another run, {origin['signature']}. Delete it, or say rerun=true, to "
                "begin again."
            )

    def keep_diff(self, diff: str) -> None:
        """Keeps what differs from the last commit of the code, or nothing where nothing does."""
        if diff:
            write_atomically(self.code_diff, diff)
        else:
            self.code_diff.unlink(missing_ok=True)

    def finish(self, result: dict[str, Any]) -> None:
        """Writes `metrics.json`, the last file of a run, by rename."""
        lease.verify(self.path)
        write_atomically(self.metrics_json, json.dumps(result, indent=2, allow_nan=True) + "\n")

    def rows(self) -> list[dict[str, str]]:
        """The rows of `metrics.csv`."""
        with self.metrics_csv.open(newline="") as file:
            return list(csv.DictReader(file))

    def along_training(self, select: str, metric: str) -> dict[str, float]:
        """What was measured along training of the weights that are tested: the last ones, or those of the
        highest `metric`; on the validation split and on the training data that are followed.
        """
        followed = ("validation/", "train_curve/")
        rows = [{k: float(v) for k, v in row.items() if v and k.startswith(followed)} for row in self.rows()]
        if select == "best":
            return max((row for row in rows if metric in row), key=lambda row: row[metric], default={})
        return next((row for row in reversed(rows) if row), {})

    def _longest_shorter_run(self, code: str | None) -> Path | None:
        shorter = []
        for run in finished_of_family(self.path.parent, self.family):
            if (run / "checkpoints" / "last.ckpt").is_file():
                result = json.loads((run / "metrics.json").read_text())
                history = result.get("code", {}).get("history", [])
                of_code = code is None or [each["hash"] for each in history] == [code]
                if of_code and self._is_shorter(result["definition"]):
                    shorter.append((result["metrics"]["samples"], run, result.get("checkpoint_sha256")))
        for _, run, recorded in sorted(shorter, reverse=True):
            if checksum(run / "checkpoints" / "last.ckpt") == recorded:
                return run
            print(
                f"note: nothing is taken over from {run}, whose last.ckpt is not the one on record there.",
                file=sys.stderr,
            )
        return None

    def _is_shorter(self, other: Flat) -> bool:
        """Whether the other budget is below this one, both being of the same kind."""
        for key in BUDGET:
            mine, theirs = self.definition.get(key), other.get(key)
            if (mine is None) != (theirs is None):
                return False
            if mine is not None and theirs >= mine:
                return False
        return True


def result_of(directory: Path) -> dict[str, Any]:
    """The content of a finished run's `metrics.json`.

    Raises:
        UserError: If the run is not finished.
    """
    try:
        return json.loads((directory / "metrics.json").read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{directory} is not the directory of a finished run.") from error


def find(run: str, output_dir: str) -> Path:
    """The directory of a run, finished or not, from its directory or its signature.

    Raises:
        UserError: If there is none.
    """
    runs = Path(output_dir) / "runs"
    for path in (Path(run), runs / run):
        if (path / ".hydra" / "config.yaml").is_file():
            return path
    known = [path.parent.name for path in runs.glob("*/metrics.json")]
    if run == "inf":
        raise UserError(
            f"run={run}: a signature that reads as a number needs quotes: \"run='59e074444826'\"."
        )
    raise UserError(f"run={run} is neither a run's directory nor a signature{did_you_mean(run, known)}")


def finished_of_family(runs: Path, family: str) -> list[Path]:
    """The finished runs in a folder that share a definition apart from their budget."""
    marked = [mark.parent for mark in runs.glob(f"*/{FAMILY}{family}")]
    return [run for run in marked if (run / "metrics.json").is_file()]


def longer_and_shorter(directory: Path) -> list[Path]:
    """The finished runs beside a run, itself among them, that differ from it in nothing but their budget."""
    families = [mark.name.removeprefix(FAMILY) for mark in directory.glob(f"{FAMILY}*")]
    return [run for family in families for run in finished_of_family(directory.parent, family)]


def remove_if_unused(path: Path) -> None:
    """Removes a run's directory if nothing was done in it."""
    if path.is_dir() and all(_is_hydras(entry) for entry in path.iterdir()):
        shutil.rmtree(path)


def write_failure(path: Path, error: str) -> None:
    """Leaves the message of a failure in a run's directory."""
    write_atomically(path / FAILURE, json.dumps({"error": error}) + "\n")


def read_failure(path: Path) -> str | None:
    """The message of the failure in which the last attempt at a run ended."""
    try:
        return str(json.loads((path / FAILURE).read_text())["error"])
    except (OSError, ValueError, LookupError):
        return None


def _is_hydras(entry: Path) -> bool:
    """Whether it was there before the run began: Hydra's files, and the mark to begin afresh."""
    return entry.name in (".hydra", AFRESH) or (entry.suffix == ".log" and entry.name != OUTPUT_LOG)
