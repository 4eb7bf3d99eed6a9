"""The work common to the launchers: composing the jobs, running them, giving Hydra their results."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig

from vae_lab.errors import UserError
from vae_lab.sweep.jobs import Job, compose
from vae_lab.sweep.launchers import forkserver, slurm
from vae_lab.sweep.launchers.pool import Pool, Task, slots, usable_cores, visible_gpus
from vae_lab.sweep.live_table import LiveTable

GPU = ("gpu", "cuda", "auto")  # what may use a GPU where there is one


def run_in_slots(
    master: DictConfig,
    context: HydraContext,
    job_overrides: Sequence[Sequence[str]],
    *,
    slots_at_a_time: int | None,
    threads: int,
    jobs_per_gpu: int,
) -> list[JobReturn]:
    """Runs jobs in slots of this machine, and gives their results, in order.

    Args:
        master: The configuration that all jobs share, with Hydra's own node.
        context: Hydra's.
        job_overrides: The overrides of each job.
        slots_at_a_time: How many jobs run at a time; None to choose.
        threads: CPU threads of each job.
        jobs_per_gpu: How many jobs share a GPU.

    Raises:
        OSError: If the disk is full.
    """
    jobs = [compose(context.config_loader, master, overrides) for overrides in job_overrides]
    tasks = [Task(job) for job in jobs]
    on_gpu = any(job.cfg.trainer.accelerator in GPU for job in jobs)
    devices = max(job.num_devices for job in jobs)
    gpus = visible_gpus() if on_gpu else []
    if gpus and any("," in str(job.cfg.trainer.devices) for job in jobs):
        raise UserError("trainer.devices must be a number in a sweep, which gives each job GPUs of its own.")
    if any(job.cfg.trainer.num_nodes != 1 for job in jobs):
        raise UserError("trainer.num_nodes must be 1 on one machine; for several use hydra/launcher=slurm.")
    at_a_time = slots_at_a_time if gpus else slots_at_a_time or max(1, usable_cores() // (threads * devices))
    at_a_time = min(at_a_time or len(jobs), len(jobs))
    places = slots(at_a_time, gpus, devices, min(jobs_per_gpu, len(jobs)))
    forkserver.start_imports(threads)
    with LiveTable(_name(master), len(places)) as board:
        pool = Pool(places, board.show, master.hydra, context)
        pool.run(tasks)
    if pool.is_full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return [_returned(task) for task in tasks]


def run_on_slurm(
    master: DictConfig,
    loader: ConfigLoader,
    job_overrides: Sequence[Sequence[str]],
    settings: Mapping[str, Any],
) -> list[JobReturn]:
    """Submits jobs to SLURM; with `wait` follows them to their end, else returns at once.

    Raises:
        UserError: If SLURM or submitit is not there, or the jobs are refused.
    """
    tasks = [Task(compose(loader, master, overrides)) for overrides in job_overrides]
    directory = Path(master.output_dir, "sweeps", _name(master))
    directory.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        task.state = "done" if task.job.is_done() else "waiting"  # meanwhile, by an earlier submission
    submitted = slurm.submit(tasks, directory, _name(master), int(settings["threads"]), settings)
    arrays = sorted({job_id.partition("_")[0] for job_id in submitted.values()})
    print(f"{len(tasks)} runs are with SLURM, as job {', '.join(arrays)}", flush=True)
    if settings["wait"]:
        with LiveTable(_name(master), len(tasks)) as board:
            slurm.wait_for_jobs(tasks, submitted, board.show)
    else:
        print(f"vae-lab status {directory} shows their progress, vae-lab figures {directory} their results")
    return [_returned(task) for task in tasks]


def _name(master: DictConfig) -> str:
    return (master.sweep and master.sweep.name) or "sweep"


def _returned(task: Task) -> JobReturn:
    returned = JobReturn(overrides=task.job.overrides, cfg=task.job.cfg)
    returned.working_dir = str(task.job.directory)
    if task.state == "waiting":
        return returned  # of unknown status
    if task.state == "done":
        returned.status, returned.return_value = JobStatus.COMPLETED, objective(task.job)
    else:
        returned.status, returned.return_value = JobStatus.FAILED, UserError(task.error)
    return returned


def objective(job: Job) -> float | None:
    """The validation metric of a finished run, by which a sweeper may optimise."""
    result = job.result()
    return None if result is None else result.metrics.get(f"validation/{result.get('selection')}")
