"""`vae-lab gradients`."""

from collections.abc import Mapping
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab import config
from vae_lab.explain import exit_if_explained
from vae_lab.orchestration import signature
from vae_lab.orchestration.run_directory import RunDirectory, checksum, remove_if_unused
from vae_lab.paths import CONF

config.register()
signature.register()


def _is_current(checkpoints: Mapping[str, str]) -> bool:
    """Whether the checkpoints that were measured are those that are there."""
    paths = {Path(name): known for name, known in checkpoints.items()}
    return all(checksum(path) == known for path, known in paths.items() if path.is_file())


@hydra.main(config_path=str(CONF), config_name="gradients", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Measures gradient estimators at one state of a model, or at several."""
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    try:
        directory = RunDirectory(path, cfg)
        done = directory.finished()
        if cfg.rerun or done is None or not _is_current(done["checkpoints"]):
            from vae_lab.gradients import measure  # imports torch, which a finished one needs not wait for

            measure(cfg, directory)
        else:
            print("This configuration is measured already; rerun=true does it again.")
        from vae_lab.report import show_gradients

        show_gradients(path)
    except Exception as error:
        remove_if_unused(path)
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, "gradients")
        raise
