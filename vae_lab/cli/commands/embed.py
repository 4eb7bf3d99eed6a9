"""`vae-lab embed`."""

import hydra
from omegaconf import DictConfig

from vae_lab.cli.commands.of_run import check as check
from vae_lab.cli.commands.of_run import main_of
from vae_lab.config.explain import exit_if_explained
from vae_lab.errors import UserError
from vae_lab.files.export import put
from vae_lab.files.paths import CONF


@hydra.main(config_path=str(CONF), config_name="embed", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Writes the codes of data; of several models, given by `runs`, as a sweep."""
    directory = main_of("embed", cfg)
    if cfg.out is None:
        return
    try:
        put(directory / "codes.parquet", cfg.out)
    except (UserError, OSError) as error:
        exit_if_explained(error, "embed")
        raise
    print(f"codes in {cfg.out}")
