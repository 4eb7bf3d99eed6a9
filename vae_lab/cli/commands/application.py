"""Commands on a trained model, such as `vae-lab evaluate`."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab.cli.output import show_done, show_evaluation, show_use
from vae_lab.config import schema
from vae_lab.config.explain import exit_if_explained
from vae_lab.errors import UserError
from vae_lab.files.export import export
from vae_lab.files.paths import CONF
from vae_lab.runs import signature
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import record
from vae_lab.runs.result import Result

SHOW: dict[str, Callable[[Result, Path], None]] = {"evaluate": show_evaluation}

schema.register_schemas()
signature.register_signature()


@cache
def command(name: str) -> Callable[..., None]:
    """The function that carries out a command on a trained model; on several, given by `runs`, as a sweep."""

    def main(cfg: DictConfig) -> None:
        directory = _carry_out(name, cfg)
        if cfg.get("out") is not None:
            _export(name, directory, cfg.out)

    main.__module__ = f"{__package__}.{name}"  # by which Hydra names the log
    decorated: Callable[..., None] = hydra.main(str(CONF), name, version_base="1.3")(main)
    return decorated


def check(cfg: DictConfig) -> None:
    """Raises `UserError` if the configuration cannot make a result; writes nothing."""
    from vae_lab.applications.settings import ApplicationSettings

    ApplicationSettings.of(cfg)


def _carry_out(command: str, cfg: DictConfig) -> Path:
    """Carries out a command unless that is done, and shows the result; gives its directory."""
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    try:
        directory = RunDirectory(path, cfg, list(hydra_config.overrides.task))
        result = None if cfg.run is None else directory.kept()
        if result is None:
            from vae_lab.applications.run import carry_out  # imports torch, which a finished one does not
            from vae_lab.applications.settings import ApplicationSettings

            result = carry_out(ApplicationSettings.of(cfg), directory)
        else:
            show_done("This command is done already for this run", result)
        SHOW.get(command, show_use)(result, path)
    except Exception as error:
        record(error, path, command)
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, command)
        raise
    return path


def _export(command: str, directory: Path, out: str) -> None:
    """Copies the codes of data to a file of the user's own."""
    try:
        export(directory / "codes.parquet", out)
    except (UserError, OSError) as error:
        exit_if_explained(error, command)
        raise
    print(f"codes in {out}")
