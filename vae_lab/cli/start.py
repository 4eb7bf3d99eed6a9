"""What is checked before Hydra writes anything: where the result goes."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from vae_lab.config import foreign
from vae_lab.config.explain import exit_if_explained
from vae_lab.config.hydra_settings import check_environment, check_format
from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.signature import kind_of


class Start(Callback):
    """Ends a command whose result may not go where it is told to, before the folder is made."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _exit_if_refused(config, lambda: _check_run(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _exit_if_refused(config, lambda: _check_settings(config))


def check_output_dir(cfg: DictConfig) -> None:
    """Checks the folder of all results.

    Raises:
        UserError: If `output_dir` names none.
    """
    name = str(cfg.output_dir)
    if name in ("True", "False") or not name.strip() or not name.isprintable():
        raise UserError(f"output_dir must be the path of a folder, such as output_dir=outputs, got {name!r}.")
    if name.startswith("~"):
        raise UserError(f"output_dir must be a path without ~ in a file, got {name}; write the whole path.")


def _check_settings(config: DictConfig) -> None:
    check_output_dir(config)
    check_environment(config.hydra.job.env_set)
    check_format(config.hydra.job_logging.formatters.simple.format)


def _check_run(config: DictConfig) -> None:
    _check_settings(config)
    path = Path(str(config.hydra.run.dir))
    if not str(config.hydra.run.dir).strip():
        raise UserError("hydra.run.dir must be the path of a folder, got ''.")
    directory = RunDirectory(path, config)
    directory.check()
    if directory.finished() is not None and kind_of(config) == "train":
        _check_trainer(config, path)
    ownership.accept(path, kind_of(config))


def _check_trainer(config: DictConfig, path: Path) -> None:
    """Checks the settings of a training that is done, where they are others than those it had."""
    stored = None
    with suppress(UserError):  # a result is one without its configuration too
        stored = foreign.read_whole(path / ".hydra" / "config.yaml").get("trainer")
    if "_target_" in config.trainer and stored != config.trainer:
        from vae_lab.config.instantiate import instantiate
        from vae_lab.training.trainer import TrainerFactory

        instantiate(config.trainer, "trainer", TrainerFactory)


def _exit_if_refused(config: DictConfig, check: Callable[[], None]) -> None:
    """Hydra would only warn of an error in a callback."""
    try:
        check()
    except Exception as error:
        exit_if_explained(error, kind_of(config))
