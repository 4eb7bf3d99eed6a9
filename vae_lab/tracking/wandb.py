"""Weights & Biases: offline unless the user is logged in or asks, and never in the way of a run."""

import glob
import logging
import netrc
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from vae_lab.files.ownership import published
from vae_lab.tracking.metrics_csv import MetricsCsv

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 3
INIT_SECONDS = 20


@runtime_checkable
class Tracking(Protocol):
    """Where the metrics and the figures of runs go, beside their files."""

    def start(
        self, directory: Path, signature: str, config: dict[str, Any], job_type: str, history: MetricsCsv
    ) -> list[Logger]:
        """Begins a run, and gives the loggers that feed it."""
        ...

    def log_figures(self, figures: Mapping[str, Path]) -> None:
        """Logs figures by their names."""
        ...

    def log_measured(
        self, run: Path, command: str, signature: str, metrics: Mapping[str, float], figures: Sequence[Path]
    ) -> None:
        """Logs measurements of a finished run."""
        ...

    def log_sweep(self, directory: Path) -> None:
        """Logs the table and the figures of a finished sweep."""
        ...

    def finish(self) -> None:
        """Ends the run."""
        ...


class NoTracking:
    """No tracking beyond `metrics.csv`."""

    def start(self, *_: Any, **__: Any) -> list[Logger]:
        return []

    def log_figures(self, figures: Mapping[str, Path]) -> None:
        """Nothing."""

    def log_measured(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def log_sweep(self, directory: Path) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class WandbFactory:
    """Settings of a W&B run, waiting for the run to begin.

    Args:
        mode: `offline` writes to the run's directory; `online` and `auto` use the service if an account is
            logged in and the service can be reached, else go offline, `online` with a warning. WANDB_MODE in
            the environment decides for `auto`.
        project: Name of the project.
        entity: Account or team, or None for the account's own.
        group: Under which runs are grouped, or None.
        name: Display name, or None for the signature.
        tags: Labels.
    """

    def __init__(
        self,
        mode: Literal["auto", "online", "offline"] = "auto",
        project: str = "vae_lab",
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        self.mode = mode
        self.settings = {"project": project, "entity": entity, "group": group, "name": name}
        self.tags = list(tags)
        self.run: Any = None

    def start(
        self, directory: Path, signature: str, config: dict[str, Any], job_type: str, history: MetricsCsv
    ) -> list[Logger]:
        """Begins the W&B run and gives the logger that feeds it.

        What a killed run had logged offline is replaced: the new offline run begins with the rows of
        `metrics.csv`, so that it holds each of them once. What may be at the service already stays, and no
        step up to its last is logged again.

        Args:
            directory: The run's directory, which gets `wandb/`.
            signature: The run's id, so that a resumed run continues it.
            config: The configuration to show.
            job_type: The estimator's name.
            history: `metrics.csv` as it stands before the first new row.
        """
        if getattr(rank_zero_only, "rank", 0) != 0:
            return []
        arguments = self.settings | {
            "name": self.settings["name"] or signature,
            "id": signature,
            "config": config,
            "job_type": job_type,
            "tags": self.tags,
            "dir": str(directory),
        }
        earlier = list((directory / "wandb").glob(f"*run-*-{signature}"))
        self.run = self._init(arguments)
        if self.run is None:
            return []
        self.run.define_metric("samples")
        self.run.define_metric("*", step_metric="samples")
        if not self.run.offline or any(_may_be_at_the_service(folder) for folder in earlier):
            return [_ResumableWandbLogger(self.run, logged_until=history.last_step)]
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)
        logger = _ResumableWandbLogger(self.run, logged_until=0)
        for step, metrics in history.numbers():
            logger.log_metrics(metrics, step)
        return [logger]

    def log_figures(self, figures: Mapping[str, Path]) -> None:
        """Logs figures as images."""
        if self.run is None:
            return
        import wandb

        with _never_in_the_way("the figures"):
            self.run.log({f"figures/{name}": wandb.Image(str(path)) for name, path in figures.items()})

    def log_measured(
        self, run: Path, command: str, signature: str, metrics: Mapping[str, float], figures: Sequence[Path]
    ) -> None:
        """Adds the result of an application of the model to the W&B run of its training.

        Args:
            run: The run's directory, which gets `wandb/`.
            command: The command, such as `evaluate`.
            signature: The run's id.
            metrics: For the summary of the W&B run, under the command's name.
            figures: To show.
        """
        whose = {name: self.settings[name] for name in ("project", "entity")}
        self.run = self._init({**whose, "id": signature, "dir": str(run)})
        if self.run is not None:
            with _never_in_the_way("the measurements"):
                self.run.summary.update({f"{command}/{name}": value for name, value in metrics.items()})
            self.log_figures({path.stem: path for path in figures})
            self.finish()

    def log_sweep(self, directory: Path) -> None:
        """Logs the table and the figures of a finished sweep to one W&B run of its own.

        Args:
            directory: The sweep's, whose name is the group of its runs.
        """
        import polars as pl
        import wandb

        for earlier in (directory / "wandb").glob(f"offline-run-*-sweep-{glob.escape(directory.name)}"):
            if not _may_be_at_the_service(earlier):
                shutil.rmtree(earlier)
        own: dict[str, Any] = {
            "name": f"{directory.name} summary",
            "id": f"sweep-{directory.name}",
            "job_type": "summary",
            "tags": self.tags,
            "dir": str(directory),
        }
        self.run = self._init({**self.settings, **own})
        if self.run is None:
            return
        if (directory / "table.csv").is_file():
            table = pl.read_csv(directory / "table.csv")
            content: Any = {"columns": table.columns, "data": [list(row) for row in table.rows()]}
            self.run.log({"table": wandb.Table(**content)})
        drawn = [name for name in published(directory) if name.endswith(".png")]
        self.log_figures({Path(name).stem: directory / name for name in drawn})
        self.finish()

    def finish(self) -> None:
        """Ends the W&B run, so that a later run of the process gets one of its own."""
        if self.run is not None:
            with _never_in_the_way("the end"):
                self.run.finish()
            self.run = None

    def _init(self, arguments: dict[str, Any]) -> Any:
        _keep_files_in(Path(arguments["dir"], "wandb"))
        import wandb

        settings = wandb.Settings(console="off", silent=True, init_timeout=INIT_SECONDS)
        for wanted in (self.mode, "offline"):
            try:
                mode = self._mode(wandb, wanted)
                wandb.setup(wandb.Settings(mode=mode))  # an offline process reports on itself to nobody
                return wandb.init(**arguments, mode=mode, resume="allow", settings=settings)
            except Exception as error:  # whatever the tracker's trouble, the run goes on
                _log.warning("W&B failed (%s): %s", wanted, _first_line(error))
                with suppress(Exception):
                    wandb.teardown()
        return None

    def _mode(self, wandb: Any, wanted: str) -> Any:
        if wanted == "auto":
            wanted = os.environ.get("WANDB_MODE") or "auto"
        if wanted not in ("auto", "online"):
            return wanted
        trouble = _trouble(wandb)
        if trouble and wanted == "online":
            _log.warning("W&B goes offline: %s. `wandb sync` uploads the run later.", trouble)
        return "offline" if trouble else "online"


class _ResumableWandbLogger(WandbLogger):
    """Lightning's logger of an existing W&B run, which skips what was logged before a resume."""

    def __init__(self, run: Any, logged_until: int) -> None:
        super().__init__(experiment=run)
        self.logged_until = logged_until

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if step is None or step > self.logged_until:
            with _never_in_the_way(f"step {step}"):
                super().log_metrics(metrics, step)


@contextmanager
def _never_in_the_way(action: str) -> Iterator[None]:
    """Says what W&B could not take, and goes on: the run has it in its files."""
    try:
        yield
    except Exception as error:
        _log.warning("W&B has not got %s: %s", action, _first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _keep_files_in(folder: Path) -> None:
    """Gives W&B a place for what it keeps in the user's home, where that cannot be written to."""
    for name, xdg, usual in (
        ("WANDB_DATA_DIR", "XDG_DATA_HOME", "~/.local/share"),
        ("WANDB_CACHE_DIR", "XDG_CACHE_HOME", "~/.cache"),
        ("WANDB_CONFIG_DIR", "XDG_CONFIG_HOME", "~/.config"),
    ):
        place = Path(os.path.expanduser(os.environ.get(xdg) or usual)).absolute()
        there = next(parent for parent in (place, *place.parents) if parent.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            os.environ.setdefault(name, str(folder))


def _may_be_at_the_service(folder: Path) -> bool:
    """Whether a W&B run was online, or has been uploaded since."""
    return not folder.name.startswith("offline-") or bool(list(folder.glob("*.synced")))


def _trouble(wandb: Any) -> str | None:
    """Why the service cannot be used: nobody is logged in, or nothing answers at its address."""
    settings = wandb.setup().settings
    url = urlsplit(settings.base_url)
    if not (settings.api_key or settings.identity_token_file or _is_in_netrc(url.hostname or "")):
        return "no account is logged in"
    address = (url.hostname, url.port or (443 if url.scheme == "https" else 80))
    try:
        with socket.create_connection(address, timeout=CONNECT_SECONDS):
            return None
    except OSError as error:
        return f"{url.hostname} cannot be reached ({error})"


def _is_in_netrc(host: str) -> bool:
    """Whether `wandb login` has left a key for the service."""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
