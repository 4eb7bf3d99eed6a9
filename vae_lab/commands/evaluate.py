"""`vae-lab evaluate`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from vae_lab import config
from vae_lab.explain import exit_if_explained, record
from vae_lab.orchestration import signature
from vae_lab.orchestration.jobs import finished
from vae_lab.orchestration.run_directory import RunDirectory
from vae_lab.paths import CONF
from vae_lab.report import show_evaluation

config.register()
signature.register()


def check(cfg: DictConfig) -> None:
    """Raises `UserError` if the configuration cannot make an evaluation; writes nothing."""
    from vae_lab.evaluate import plan

    plan(cfg)


@hydra.main(config_path=str(CONF), config_name="evaluate", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Measures a trained model; several, given by `runs`, as a sweep."""
    hydra_config = HydraConfig.get()
    path = Path(hydra_config.runtime.output_dir)
    try:
        result = None if cfg.rerun or cfg.run is None else finished(cfg, path)
        if result is None:
            from vae_lab.evaluate import evaluate  # imports torch, which a finished one needs not wait for

            result = evaluate(cfg, RunDirectory(path, cfg))
        else:
            print("This run is measured so already; rerun=true does it again.")
        show_evaluation(result, path)
    except Exception as error:
        record(error, path, "evaluate")
        if hydra_config.mode == RunMode.RUN:
            exit_if_explained(error, "evaluate")
        raise
