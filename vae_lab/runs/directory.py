"""What a run leaves on disk, and what that tells."""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vae_lab.config import foreign
from vae_lab.config.schema import rerun
from vae_lab.errors import UserError, did_you_mean
from vae_lab.files import ownership
from vae_lab.files.writing import checksum, read_rows, replace, write_atomically
from vae_lab.runs import lease
from vae_lab.runs.signature import BUDGET, Flat, as_of_now, definition, family, kind_of, signature

OUTPUT_LOG = "output.log"  # what a launched job prints
FAILURE = "failure.json"
FAMILY = ".family-"  # marks a run with the signature that it has apart from its budget
AFRESH = ".afresh"  # marks a run that must begin at its beginning; says which way a result is being moved
EARLIER = ".earlier"  # the result that is being replaced, until the new one is whole
TO_EARLIER, BACK = "to .earlier", "back"
AGAIN = "the command that made it makes it again, from the last checkpoint"
OF_TRAINING = {  # keys that are in each result of one
    "signature", "estimator", "selection", "log_likelihood", "timing", "notes", "config",
}  # fmt: skip
OF_HYDRA = (".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml")
FROZEN = (".hydra/config.yaml", ".hydra/overrides.yaml")
# What a run leaves by fixed names, beside figures and tables, which the mark names.
OWN = re.compile(
    r"metrics\.(json|csv)|failure\.json|code\.diff|\.family-[0-9a-f]{12}|\.metrics\.csv\.partial"
    r"|checkpoints/((last|best|samples=\d+)\.ckpt|\.(last|best|samples=\d+)\.partial|last\.partial)"
)
OF_WANDB = r"wandb/((offline-)?run-\d{8}_\d{6}-%s|latest-run|debug(-internal)?\.log)"


class RunDirectory:
    """The directory of one run; the one place that knows the file names.

    Args:
        path: The directory, named by the run's signature unless the user chose it.
        cfg: The run's configuration.
        overrides: From which it was composed.
    """

    def __init__(self, path: Path, cfg: DictConfig, overrides: Sequence[str] = ()) -> None:
        self.path = path
        self.cfg = cfg
        self.overrides = overrides
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
        """The content of `metrics.json` if the run is done; None also if that is damaged.

        Raises:
            UserError: If the directory holds the result of another configuration.
        """
        try:
            result = result_of(self.path)
        except UserError:
            return None
        self.check_same(result.get("definition", {}))
        return result

    def check(self) -> None:
        """Checks that the run may lie here; writes nothing.

        Raises:
            UserError: If the directory holds anything else than this run.
        """
        if ownership.mark_of(self.path) is not None:
            ownership.check(self.path, kind_of(self.cfg))
        if rerun(self.cfg) is not True:
            is_done = self.finished() is not None
            self._check_family()
            if is_done and not self.cfg.rerun:
                return  # also where an earlier version has made it
        ownership.check(self.path, kind_of(self.cfg))
        self._check_frozen()

    def claim(self) -> None:
        """Makes and marks the directory, and leaves the configuration in it to start the run from.

        Raises:
            UserError: If the directory holds anything else than this run.
        """
        self._check_frozen()
        ownership.claim(self.path, kind_of(self.cfg))
        if not self.overrides and (self.path / FROZEN[0]).is_file():
            return
        for name, content in zip(FROZEN, (self.cfg, list(self.overrides)), strict=True):
            (self.path / name).parent.mkdir(exist_ok=True)
            write_atomically(self.path / name, OmegaConf.to_yaml(content))

    def _check_frozen(self) -> None:
        """Raises `UserError` if the frozen configuration would be written somewhere else."""
        for name in FROZEN:
            ownership.inside(self.path, name)

    def check_same(self, stored: Flat) -> None:
        """Raises `UserError` if what is stored here is another configuration's."""
        stored = as_of_now(stored)
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

    @contextmanager
    def replacing(self, again: bool) -> Iterator[None]:
        """Within it, under the lease, the run is done.

        With `again` it begins at its beginning, and a result that is there is aside until the new one is
        whole; it comes back if the run fails and leaves nothing from which it could go on.
        """
        self.settle()
        if again:
            self.set_aside()
        try:
            yield
        except BaseException:
            self.restore_unless_begun()
            raise

    def settle(self) -> None:
        """Ends what a killed process has begun to move."""
        state = self._state()
        if state == TO_EARLIER:
            self._move_aside()
        elif state == BACK:
            self._move_back()

    def set_aside(self) -> None:
        """Moves a result to `.earlier`, which can be read like the run's own directory.

        What an unfinished run has left is removed.

        Raises:
            UserError: If a link leads out of the directory; nothing is moved then.
        """
        for name in self._results(self.path):
            ownership.inside(self.path, name)
        if self.metrics_json.is_file():
            self._drop_earlier()
            earlier = self.path / EARLIER
            ownership.claim(earlier, kind_of(self.cfg))
            (earlier / ".hydra").mkdir(exist_ok=True)
            with suppress(FileNotFoundError):
                shutil.copy(self.path / FROZEN[0], earlier / FROZEN[0])
            write_atomically(self.path / AFRESH, TO_EARLIER)
            self._move_aside()
        else:
            ownership.remove(self.path, self._results(self.path))
            (self.path / AFRESH).touch()

    def restore_unless_begun(self) -> None:
        """Brings the earlier result back if the run has left nothing from which it could go on."""
        whole = (self.path / EARLIER / "metrics.json").is_file()
        if whole and not self.last_checkpoint.exists() and not self.metrics_json.exists():
            ownership.remove(self.path, set(self._results(self.path)) - {FAILURE})
            write_atomically(self.path / AFRESH, BACK)
            self._move_back()

    def _move_aside(self) -> None:
        names = self._results(self.path)
        names.sort(key=lambda name: name != "metrics.json")  # which goes first: what is there is not whole
        earlier = self.path / EARLIER
        ownership.published(earlier, sorted({*ownership.published(earlier), *ownership.published(self.path)}))
        ownership.move(self.path, earlier, names)
        ownership.published(self.path, [])
        (self.path / AFRESH).write_text("")

    def _move_back(self) -> None:
        earlier = self.path / EARLIER
        names = self._results(earlier)
        names.sort(key=lambda name: name == "metrics.json")  # which comes last
        ownership.published(self.path, ownership.published(earlier))
        ownership.move(earlier, self.path, names)
        (self.path / AFRESH).unlink()
        self._drop_earlier()

    def _drop_earlier(self) -> None:
        earlier = self.path / EARLIER
        if earlier.is_dir():
            ownership.remove(earlier, self._results(earlier))
            ownership.leave(earlier, FROZEN)

    def _state(self) -> str:
        try:
            return (self.path / AFRESH).read_text()
        except FileNotFoundError:
            return ""

    def _results(self, folder: Path) -> list[str]:
        """The names of what a run has left in a folder: this one or, by W&B's, one of another signature."""
        mark = ownership.mark_of(folder)
        if mark is None:
            return []
        there = [path.name for path in folder.iterdir()]
        there += [
            f"{name}/{path.name}" for name in ("checkpoints", "wandb") for path in (folder / name).glob("*")
        ]
        own = re.compile(f"{OWN.pattern}|{OF_WANDB % '[0-9a-f]{12}'}")
        return sorted({*mark.files, *(name for name in there if own.fullmatch(name))})

    def begin(self, code: str | None = None) -> None:
        """Marks the run's family, and takes over what a shorter run of the family has done.

        Nothing is taken over by a run that must begin at its beginning.

        Args:
            code: Hash of the code that must have made what is taken over; None for any.

        Raises:
            UserError: If an unfinished run of another definition lies here.
        """
        self._check_family()
        (self.path / FAILURE).unlink(missing_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        takes_over = not self.last_checkpoint.exists() and not (self.path / AFRESH).exists()
        if takes_over and (shorter := self._longest_shorter_run(code)):
            write_atomically(self.metrics_csv, (shorter / "metrics.csv").read_bytes())
            copy = self.last_checkpoint.with_suffix(".partial")
            shutil.copy(shorter / "checkpoints" / "last.ckpt", copy)
            replace(copy, self.last_checkpoint)
        (self.path / f"{FAMILY}{self.family}").touch()

    def _check_family(self) -> None:
        families = {mark.name.removeprefix(FAMILY) for mark in self.path.glob(f"{FAMILY}*")}
        if self.last_checkpoint.exists() and families and self.family not in families:
            if families & self._families_by_path():
                if self.metrics_json.is_file():
                    return
                raise UserError(
                    f"{self.path} holds an unfinished run of an earlier version, which this one cannot go on "
                    "with. Choose another hydra.run.dir, or say rerun=true to replace it."
                )
            raise UserError(
                f"{self.path} holds an unfinished run of another configuration, or of other data. Choose "
                "another hydra.run.dir, or say rerun=true to replace it."
            )

    def check_origin(self, checkpoint: Path, origin: Mapping[str, Any]) -> None:
        """Raises `UserError` if a checkpoint in this directory names a run of another family."""
        if origin and origin["family"] not in {self.family, *self._families_by_path()}:
            raise UserError(
                f"{checkpoint} is of another run, {origin['signature']}. Delete it, or say rerun=true, to "
                "begin again."
            )

    def _families_by_path(self) -> set[str]:
        """The family of the configuration that lies here, as an earlier version named it."""
        with suppress(UserError):
            return {family(foreign.read_whole(self.path / FROZEN[0]), by_path=True)}
        return set()

    def keep_diff(self, diff: str) -> None:
        """Keeps what differs from the last commit of the code, or nothing where nothing does."""
        if diff:
            write_atomically(self.code_diff, diff)
        else:
            self.code_diff.unlink(missing_ok=True)

    def finish(self, result: dict[str, Any]) -> None:
        """Writes `metrics.json`, the last file of a run, by rename; the result that it replaces goes."""
        lease.verify(self.path)
        for partial in [*self.checkpoints.glob(".*.partial"), self.path / FAILURE]:
            if OWN.fullmatch(str(partial.relative_to(self.path))):
                partial.unlink(missing_ok=True)
        write_atomically(self.metrics_json, json.dumps(result, indent=2, allow_nan=True) + "\n")
        self._drop_earlier()
        (self.path / AFRESH).unlink(missing_ok=True)

    def rows(self) -> list[dict[str, str]]:
        """The rows of `metrics.csv`."""
        return read_rows(self.metrics_csv)

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
            if (run / "checkpoints" / "last.ckpt").is_file() and (run / "metrics.csv").is_file():
                result = result_of(run)
                history = result.get("code", {}).get("history", [])
                of_code = code is None or [each["hash"] for each in history] == [code]
                if of_code and self._is_shorter(result.get("definition", {})):
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
        UserError: If the run is not finished, or the file is damaged.
    """
    path = directory / "metrics.json"
    try:
        result = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        aside = directory / EARLIER
        hint = f"; {aside} has its earlier result" if (aside / "metrics.json").is_file() else ""
        raise UserError(f"{directory} is not the directory of a finished run{hint}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError):
        result = None
    if not _is_whole(result):
        raise UserError(f"{path} is damaged; {AGAIN}.")
    return dict(result)


def _is_whole(result: Any) -> bool:
    """Whether what was read is a result, with entries of the kinds that they are written in."""
    if not isinstance(result, dict) or not isinstance(result.get("metrics"), dict):
        return False
    maps = ("definition", "config", "code", "packages", "provenance", "checkpoints")
    numbers = result["metrics"].values()
    is_of_training = {"timing", "parameters"} & result.keys()
    if is_of_training and "format" in (result.get("definition") or {}) and not result.keys() >= OF_TRAINING:
        return False
    return (
        all(isinstance(result.get(name), dict | None) for name in maps)
        and all(isinstance(number, int | float | None) for number in numbers)
        and isinstance(result.get("notes"), list | None)
    )


def _is_sweep(path: Path) -> bool:
    return (path / "manifest.json").is_file()


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
    sweep = next((path for path in (Path(run), runs.parent / "sweeps" / run) if _is_sweep(path)), None)
    if sweep is not None:
        raise UserError(f"run={run} is a sweep; write runs={run} for all its runs.")
    raise UserError(
        f"run={run} is neither a run's directory nor a signature of {runs}{did_you_mean(run, known)}"
    )


def finished_of_family(runs: Path, family: str) -> list[Path]:
    """The finished runs in a folder that share a definition apart from their budget."""
    return [mark.parent for mark in runs.glob(f"*/{FAMILY}{family}") if is_finished(mark.parent)]


def is_finished(directory: Path) -> bool:
    """Whether a run's result is there, and not damaged."""
    with suppress(UserError):
        return bool(result_of(directory))
    return False


def longer_and_shorter(directory: Path) -> list[Path]:
    """The finished runs beside a run, itself among them, that differ from it in nothing but their budget."""
    families = [mark.name.removeprefix(FAMILY) for mark in directory.glob(f"{FAMILY}*")]
    return [run for family in families for run in finished_of_family(directory.parent, family)]


def remove_if_unused(path: Path) -> None:
    """Removes a run's directory if nothing was done in it, with the folders that were made for it."""
    if not path.is_dir() or not ownership.is_own(path):
        return
    names = [entry.name for entry in path.iterdir()]
    logs = [
        name for name in names if name.endswith(".log") and name != OUTPUT_LOG and (path / name).is_file()
    ]
    if not set(names) - {*logs, ".hydra", AFRESH, ownership.MARK}:
        ownership.leave(path, [*logs, *OF_HYDRA, AFRESH])


def write_failure(path: Path, error: str) -> None:
    """Leaves the message of a failure in a run's directory."""
    write_atomically(path / FAILURE, json.dumps({"error": error}) + "\n")


def read_failure(path: Path) -> str | None:
    """The message of the failure in which the last attempt at a run ended."""
    try:
        return str(json.loads((path / FAILURE).read_text())["error"])
    except (OSError, ValueError, LookupError):
        return None
