"""`vae-lab gradients`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab.cli.output import show_done, show_gradients
from vae_lab.config import schema
from vae_lab.config.explain import exit_if_explained
from vae_lab.files.paths import CONF
from vae_lab.runs import signature
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import record

schema.register_schemas()
signature.register_signature()


def check(cfg: DictConfig) -> None:
    """Raises `UserError` if the configuration cannot make a measurement; writes nothing."""
    from vae_lab.applications.gradients.measure import prepare
    from vae_lab.applications.gradients.settings import GradientsSettings

    prepare(GradientsSettings.of(cfg))


@hydra.main(config_path=str(CONF), config_name="gradients", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Measures gradient estimators at one state of a model, or at several."""
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    try:
        directory = RunDirectory(path, cfg, list(hydra_config.overrides.task))
        if (result := directory.kept()) is None:
            from vae_lab.applications.gradients.measure import measure  # imports torch
            from vae_lab.applications.gradients.settings import GradientsSettings

            measure(GradientsSettings.of(cfg), directory)
        else:
            show_done("This configuration is measured already", result)
        show_gradients(path)
    except Exception as error:
        record(error, path, "gradients")
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, "gradients")
        raise
