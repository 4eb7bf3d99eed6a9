"""`vae-lab train`."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab.cli.output import show, show_done
from vae_lab.config import schema
from vae_lab.config.explain import exit_if_explained
from vae_lab.files.paths import CONF
from vae_lab.runs import signature
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import record
from vae_lab.runs.result import Result

schema.register_schemas()
signature.register_signature()
_TYPED = list(sys.argv)  # as the user typed it, before the command line takes the command's name away


@hydra.main(config_path=str(CONF), config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """Trains one configuration; returns the validation metric by which a sweeper may optimise."""
    sys.argv = _TYPED  # Lightning starts further processes with the command line that it finds here
    hydra_config = HydraConfig.get()
    try:
        result = _result(cfg, Path(hydra_config.runtime.output_dir))
        return None if result is None else result.metrics.get(f"validation/{result['selection']}")
    except Exception as error:
        record(error, Path(hydra_config.runtime.output_dir), "train")
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, "train")  # here, since Hydra adds a line of its own to what it sees
        raise


def check(cfg: DictConfig) -> None:
    """Raises `UserError` if the configuration cannot make a run; writes nothing."""
    from vae_lab.training.build import build_run
    from vae_lab.training.settings import Settings

    build_run(Settings.of(cfg, keep_data=True), Path("checkpoints"))


def _result(cfg: DictConfig, path: Path) -> Result | None:
    directory = RunDirectory(path, cfg, list(HydraConfig.get().overrides.task))
    done = directory.kept()
    if done is None:
        from vae_lab.training.run import run  # imports torch, which a finished run needs not wait for
        from vae_lab.training.settings import Settings

        done = run(Settings.of(cfg), directory)
    else:
        show_done("This configuration is done already", done)
        if cfg.callbacks:
            print(f"note: nothing was done by callbacks={','.join(map(str, cfg.callbacks))}.")
    if done is not None:
        show(done, path)
    return done
