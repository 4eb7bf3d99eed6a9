"""What is checked before Hydra writes anything: where the result goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from vae_lab.errors import UserError
from vae_lab.explain import exit_if_explained
from vae_lab.orchestration import ownership
from vae_lab.orchestration.hydra_settings import check_environment
from vae_lab.orchestration.run_directory import RunDirectory, kind_of


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


def _check_run(config: DictConfig) -> None:
    _check_settings(config)
    path = Path(str(config.hydra.run.dir))
    if not str(config.hydra.run.dir).strip():
        raise UserError("hydra.run.dir must be the path of a folder, got ''.")
    RunDirectory(path, config).check()
    ownership.accept(path, kind_of(config))


def _exit_if_refused(config: DictConfig, check: Callable[[], None]) -> None:
    """Hydra would only warn of an error in a callback."""
    try:
        check()
    except Exception as error:
        exit_if_explained(error, kind_of(config))
