"""The launcher `hydra/launcher=slurm`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SlurmLauncher(Launcher):
    """Submits jobs to SLURM as an array; `conf/hydra/launcher/slurm.yaml` explains its settings."""

    elsewhere = True  # the jobs run on other machines

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config: Any = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from vae_lab.orchestration.launching import run_on_slurm

        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        return run_on_slurm(self.config, loader, job_overrides, self.settings)
