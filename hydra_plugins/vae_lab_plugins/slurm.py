"""The launcher `hydra/launcher=slurm`."""

from collections.abc import Sequence
from importlib.util import find_spec
from shutil import which
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from vae_lab.errors import UserError


class SlurmLauncher(Launcher):
    """Submits jobs to SLURM as an array; `conf/hydra/launcher/slurm.yaml` explains its settings."""

    elsewhere = True  # the jobs run on other machines

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        for name in ("minutes", "threads", "array_parallelism", "signal_seconds", "max_num_timeout"):
            value = self.settings[name]
            if type(value) is not int or value < 1:
                raise UserError(f"hydra.launcher.{name} must be an int of at least 1, got {value!r}.")
        if find_spec("submitit") is None:
            raise UserError("hydra/launcher=slurm needs submitit: pip install 'vae-lab[slurm]'.")
        if which("srun") is None or which("sbatch") is None:
            raise UserError(
                "hydra/launcher=slurm: there is no srun and sbatch here; use a node that submits jobs."
            )
        self.hydra_context = hydra_context
        self.config: Any = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from vae_lab.sweep.launchers.launching import run_on_slurm

        assert self.hydra_context is not None
        loader = self.hydra_context.config_loader
        return run_on_slurm(self.config, loader, job_overrides, self.settings)
