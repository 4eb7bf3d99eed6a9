"""Checks before Hydra writes anything: the place of the result."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, read_write

from vae_lab.config import foreign
from vae_lab.config.explain import exit_if_explained
from vae_lab.config.hydra_settings import check_environment, check_format
from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.signature import kind_of

NOT_DEFINING_GROUPS = ("trainer", "logger", "callbacks")  # which have settings that no number depends on


class Start(Callback):
    """Ends a command whose result may not go to the folder given, before the folder is made."""

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
    ownership.check_way(Path(name), "output_dir")


def _check_settings(config: DictConfig) -> None:
    check_output_dir(config)
    check_environment(config.hydra.job.env_set)
    check_format(config.hydra.job_logging.formatters.simple.format)


def _check_run(config: DictConfig) -> None:
    _check_settings(config)
    if not str(config.hydra.run.dir).strip():
        raise UserError("hydra.run.dir must be the path of a folder, got ''.")
    path = _direct(config)
    directory = RunDirectory(path, config)
    directory.check()
    if directory.finished() is not None:
        _check_others(config, path)
    if path.is_dir() and not os.access(path, os.W_OK) and directory.kept() is None:
        raise UserError(f"cannot write into {path} (Permission denied); choose another hydra.run.dir.")
    ownership.accept(path, directory.kind)


def _direct(config: DictConfig) -> Path:
    """The folder of the run; Hydra makes the one that is typed, and names it to the run without `..`."""
    path = Path(str(config.hydra.run.dir))
    if ".." in path.parts:
        ownership.check_way(path, "hydra.run.dir")
        path = Path(os.path.abspath(path))
        with read_write(config.hydra):
            config.hydra.run.dir = str(path).replace("${", "\\${")
    return path


def _check_others(config: DictConfig, path: Path) -> None:
    """Checks the settings that do not define a result which is there, where they are others than it had."""
    stored: Any = {}
    with suppress(UserError):  # a result is one without its configuration too
        stored = foreign.read_whole(path / ".hydra" / "config.yaml")
    named = {name for name in NOT_DEFINING_GROUPS if _settings(stored, name) != _settings(config, name)}
    if named:
        from vae_lab.training.run import quieten_libraries
        from vae_lab.training.settings import check_alone

        quieten_libraries()
        check_alone(config, named)


def _settings(config: Any, group: str) -> dict[str, Any]:
    """A group's settings, but for the tracker's name of the sweep that the run was first asked for by."""
    node = config.get(group)
    settings: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else {}
    return {key: value for key, value in settings.items() if (group, key) != ("logger", "group")}


def _exit_if_refused(config: DictConfig, check: Callable[[], None]) -> None:
    """Hydra would only warn of an error in a callback."""
    try:
        check()
    except Exception as error:
        exit_if_explained(error, kind_of(config))
