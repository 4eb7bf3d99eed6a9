"""The launcher `hydra/launcher=processes`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from vae_lab.errors import UserError

MAX_THREADS = 1024


class ProcessesLauncher(Launcher):
    """Runs jobs in a pool of slots on this machine, each job in a process of its own.

    Args:
        slots: Jobs at a time; None for one per GPU if the trainer uses any, else one per core.
        threads: CPU threads of each job.
        jobs_per_gpu: How many jobs share a GPU.
    """

    def __init__(self, slots: int | None = None, threads: int = 1, jobs_per_gpu: int = 1) -> None:
        self.slots = slots
        self.threads = threads
        self.jobs_per_gpu = jobs_per_gpu

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        for name in ("slots", "threads", "jobs_per_gpu"):
            value = getattr(self, name)
            if not (value is None and name == "slots") and (type(value) is not int or value < 1):
                raise UserError(f"hydra.launcher.{name} must be an int of at least 1, got {value!r}.")
        if self.threads > MAX_THREADS:
            raise UserError(f"hydra.launcher.threads must be at most {MAX_THREADS}, got {self.threads}.")
        self.hydra_context = hydra_context
        self.config: Any = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from vae_lab.sweep.launchers.launching import run_in_slots

        assert self.hydra_context is not None
        return run_in_slots(
            self.config,
            self.hydra_context,
            job_overrides,
            slots_at_a_time=self.slots,
            threads=self.threads,
            jobs_per_gpu=self.jobs_per_gpu,
        )
