"""The directory of a run, and the run's life in it."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from vae_lab.config import foreign
from vae_lab.config.schema import rerun
from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.files.writing import checksum, read_rows, replace, write_atomically
from vae_lab.runs import earlier, lease
from vae_lab.runs.code import Code, code_of, is_as_now
from vae_lab.runs.families import longest_shorter, marked
from vae_lab.runs.names import FAILURE, FAMILY, FROZEN, OWN, RESULT
from vae_lab.runs.provenance import diff
from vae_lab.runs.result import Result, result_of
from vae_lab.runs.signature import Flat, as_of_now, definition, family, flatten, kind_of, signature
from vae_lab.runs.writing import Writing


class RunDirectory:
    """The directory of one run; the one place that knows the file names.

    Args:
        path: The directory, named by the run's signature unless the user chose it.
        cfg: The run's configuration.
        overrides: From which it was composed.
    """

    def __init__(self, path: Path, cfg: DictConfig, overrides: Sequence[str] = ()) -> None:
        self.path = path
        self._cfg = cfg
        self.overrides = overrides
        self.kind = kind_of(cfg)
        self.definition = definition(cfg)
        self.family = family(cfg)
        self.signature = signature(cfg)
        self.origin = {"signature": self.signature, "family": self.family}
        self.metrics_csv = path / "metrics.csv"
        self.metrics_json = path / RESULT
        self.code_diff = path / "code.diff"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.best_checkpoint = self.checkpoints / "best.ckpt"

    @property
    def tested_checkpoint(self) -> Path:
        """The checkpoint of a training with the weights that are tested."""
        is_best = self._cfg.trainer.get("select", "last") == "best"
        return self.best_checkpoint if is_best else self.last_checkpoint

    @property
    def configuration(self) -> dict[str, Any]:
        """The whole configuration, resolved."""
        whole: Any = OmegaConf.to_container(self._cfg, resolve=True)
        return whole

    @property
    def config(self) -> Flat:
        """That, flattened."""
        return flatten(self.configuration)

    @property
    def rerun(self) -> bool | Literal["code"]:
        """Whether a result that is done is asked for again: never, in any case, or if other code made it.

        Raises:
            UserError: If the configuration says none of these.
        """
        return rerun(self._cfg)

    def code(self, *others: "RunDirectory") -> Code:
        """The code behind the result, as it is now.

        Args:
            others: The runs of which the result is made.
        """
        return code_of(self._cfg, *(other._cfg for other in others))

    def finished(self) -> Result | None:
        """The result if the run is done; None also if that is damaged.

        Raises:
            UserError: If the directory holds the result of another configuration.
        """
        try:
            result = result_of(self.path)
        except UserError:
            return None
        self.check_same(result.definition)
        return result

    def measured(self) -> Result | None:
        """The result if the run is done and the checkpoints that were measured are as they were then."""
        result = self.finished()
        return result if result is not None and all(map(_is_as_then, result.checkpoints.items())) else None

    def kept(self) -> Result | None:
        """That result, unless `rerun=true` asks for it again, or `rerun=code` does and other code made it."""
        again = self.rerun
        result = None if again is True else self.measured()
        return None if result is not None and again == "code" and not is_as_now(result) else result

    def check(self) -> None:
        """Checks that the run may lie here; writes nothing.

        Raises:
            UserError: If the directory holds anything else than this run.
        """
        if ownership.mark_of(self.path) is not None:
            ownership.check_folder(self.path, self.kind)
        if self.rerun is not True:
            is_done = self.finished() is not None
            self._check_family()
            if is_done and not self.rerun:
                return  # also where an earlier version has made it
        ownership.check_folder(self.path, self.kind)
        self._check_frozen()

    def claim(self) -> None:
        """Makes and marks the directory, and leaves the configuration in it to start the run from.

        Raises:
            UserError: If the directory holds anything else than this run.
        """
        self._check_frozen()
        ownership.claim_folder(self.path, self.kind)
        if not self.overrides and (self.path / FROZEN[0]).is_file():
            return
        for name, content in zip(FROZEN, (self._cfg, list(self.overrides)), strict=True):
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
                "here. Choose another hydra.run.dir, or pass rerun=true to replace it."
            )

    @contextmanager
    def once(
        self, progress: Callable[[], lease.Progress] = dict, resumes: Callable[[], bool] | None = None
    ) -> Iterator[Writing]:
        """Within it, under the lease, the run is done, unless its result is there; its end writes that.

        A run that begins at its beginning has its earlier result aside until the new one is whole; that comes
        back if the run fails and leaves nothing from which it could go on.

        Args:
            progress: How far the run is, for those who look on; called in a thread.
            resumes: Whether it goes on from what is there; asked under the lease. None if it never does.

        Raises:
            Busy: If a living process does the run.
            UserError: If the directory holds anything else than this run.
        """
        self.claim()
        with lease.hold(self.path, progress):
            earlier.settle(self.path)
            writing = Writing(self.kept())
            if writing.is_done:  # by another process, since this one looked
                yield writing
                return
            if resumes is None or not resumes():
                earlier.set_aside(self.path, self.kind)
            try:
                (self.path / FAILURE).unlink(missing_ok=True)
                yield writing
                self.finish(writing.result)
            except BaseException:
                earlier.restore_unless_begun(self.path)
                raise

    def begin(self, code: str | None = None) -> None:
        """Marks the run's family, and takes over what a shorter run of the family has done.

        Nothing is taken over by a run that must begin at its beginning.

        Args:
            code: Hash of the code that must have made what is taken over; None for any.

        Raises:
            UserError: If an unfinished run of another definition lies here.
        """
        self._check_family()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        takes_over = not self.last_checkpoint.exists() and not earlier.must_begin_afresh(self.path)
        runs = self.path.parent
        if takes_over and (shorter := longest_shorter(runs, self.family, self.definition, code)):
            write_atomically(self.metrics_csv, (shorter / "metrics.csv").read_bytes())
            copy = self.last_checkpoint.with_suffix(".partial")
            shutil.copy(shorter / "checkpoints" / "last.ckpt", copy)
            replace(copy, self.last_checkpoint)
        (self.path / f"{FAMILY}{self.family}").touch()

    def _check_family(self) -> None:
        families = marked(self.path)
        if self.last_checkpoint.exists() and families and self.family not in families:
            if families & self._families_by_path():
                if self.metrics_json.is_file():
                    return
                raise UserError(
                    f"{self.path} holds an unfinished run of an earlier version, which this one cannot go on "
                    "with. Choose another hydra.run.dir, or pass rerun=true to replace it."
                )
            raise UserError(
                f"{self.path} holds an unfinished run of another configuration, or of other data. Choose "
                "another hydra.run.dir, or pass rerun=true to replace it."
            )

    def check_origin(self, checkpoint: Path, origin: Mapping[str, Any]) -> None:
        """Raises `UserError` if a checkpoint in this directory names a run of another family."""
        if origin and origin["family"] not in {self.family, *self._families_by_path()}:
            raise UserError(
                f"{checkpoint} is of another run, {origin['signature']}. Delete it, or pass rerun=true, to "
                "begin again."
            )

    def _families_by_path(self) -> set[str]:
        """The family of the configuration that lies here, as an earlier version named it."""
        with suppress(UserError):
            return {family(foreign.read_whole(self.path / FROZEN[0]), by_path=True)}
        return set()

    def keep_diff(self, code: Code) -> None:
        """Keeps what differs from the last commit of the code, or nothing where nothing does."""
        if differing := diff(code["sources"]):
            write_atomically(self.code_diff, differing)
        else:
            self.code_diff.unlink(missing_ok=True)

    def finish(self, result: Result) -> None:
        """Writes the result, the last file of a run, by rename; the one that it replaces goes."""
        lease.verify(self.path)
        for partial in [*self.checkpoints.glob(".*.partial"), self.path / FAILURE]:
            if OWN.fullmatch(str(partial.relative_to(self.path))):
                partial.unlink(missing_ok=True)
        result.write(self.path)
        earlier.replaced(self.path)

    def rows(self) -> list[dict[str, str]]:
        """The rows of `metrics.csv`."""
        return read_rows(self.metrics_csv)


def _is_as_then(known: tuple[str, str]) -> bool:
    path = Path(known[0])
    return not path.is_file() or checksum(path) == known[1]
