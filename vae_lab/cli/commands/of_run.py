"""What the commands on a trained model share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab.cli.output import show_done, show_use
from vae_lab.config import schema
from vae_lab.config.explain import exit_if_explained
from vae_lab.runs import signature
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import record
from vae_lab.sweep.jobs import kept

schema.register()
signature.register()


def check(cfg: DictConfig) -> None:
    """Raises `UserError` if the configuration cannot make a result; writes nothing."""
    from vae_lab.applications.run import plan

    plan(cfg)


def main_of(command: str, cfg: DictConfig, show: Callable[[dict[str, Any], Path], None] = show_use) -> Path:
    """Carries out a command on a trained model, unless that is done, and shows the result.

    Returns:
        The directory of the result.
    """
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    try:
        result = None if cfg.run is None else kept(cfg, path)
        if result is None:
            from vae_lab.applications.run import (
                carry_out,  # imports torch, which a finished one needs not wait for
            )

            result = carry_out(cfg, RunDirectory(path, cfg, list(hydra_config.overrides.task)))
        else:
            show_done("This is done already for this run", result)
        show(result, path)
    except Exception as error:
        record(error, path, command)
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, command)
        raise
    return path
