"""`vae-lab outliers`."""

import hydra
from omegaconf import DictConfig

from vae_lab.cli.commands.of_run import check as check
from vae_lab.cli.commands.of_run import main_of
from vae_lab.files.paths import CONF


@hydra.main(config_path=str(CONF), config_name="outliers", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Scores outliers by a trained model; by several, given by `runs`, as a sweep."""
    main_of("outliers", cfg)
