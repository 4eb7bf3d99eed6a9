"""A pool of slots on one machine, in which jobs run until each is done or has failed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from hydra.types import HydraContext
from omegaconf import DictConfig

from vae_lab.errors import DISK_FULL, Busy
from vae_lab.runs import lease
from vae_lab.runs.failure import read_failure
from vae_lab.runs.names import OUTPUT_LOG
from vae_lab.runs.result import is_finished
from vae_lab.sweep.jobs import Job
from vae_lab.sweep.launchers import forkserver
from vae_lab.sweep.launchers.with_parent import die_with_parent

POLL_SECONDS = 0.25
State = Literal["waiting", "running", "elsewhere", "done", "failed"]


@dataclass
class Task:
    """A job on its way.

    Args:
        job: What is to be done.
        state: `elsewhere` is being done by another process, such as a second invocation of the sweep.
        error: Why it failed.
        seconds: How long it ran here.
    """

    job: Job
    state: State = "waiting"
    error: str = ""
    started: float = 0.0
    seconds: float = 0.0
    slot: int = -1
    process: "BaseProcess | subprocess.Popen[bytes] | None" = None

    def progress(self) -> lease.Progress:
        """How far the run is, as its process last wrote."""
        holder = lease.holder(self.job.directory) if self.state in ("running", "elsewhere") else None
        return holder.progress if holder else {}


class Pool:
    """Runs tasks in slots.

    Args:
        slots: The environment variables of each slot, such as the GPUs that it may see.
        show: Called again and again with the tasks.
        hydra: Hydra's own node, which the jobs share.
        context: Hydra's.
    """

    def __init__(
        self,
        slots: Sequence[Mapping[str, str]],
        show: Callable[[Sequence[Task]], None],
        hydra: DictConfig,
        context: HydraContext,
    ) -> None:
        self.slots = slots
        self.show = show
        self.hydra = hydra
        self.context = context
        self.free = list(range(len(slots)))
        self.is_full = False

    def run(self, tasks: Sequence[Task]) -> None:
        """Runs the tasks until each is done or has failed; after a full disk it starts no other.

        On an interrupt the running jobs are interrupted too, and continue from their checkpoints when the
        same command is given again.
        """
        try:
            while any(task.state in ("waiting", "running", "elsewhere") for task in tasks):
                self._settle(tasks)
                self._look_elsewhere(tasks)
                self._start(tasks)
                self.show(tasks)
                if self.is_full and not any(task.state == "running" for task in tasks):
                    break
                self._wait(tasks)
        finally:
            _stop([task.process for task in tasks if task.process is not None])
        self.show(tasks)

    def _start(self, tasks: Sequence[Task]) -> None:
        waiting = (task for task in tasks if task.state == "waiting")
        while self.free and not self.is_full and (task := next(waiting, None)):
            if lease.holder(task.job.directory) is not None:
                task.state = "elsewhere"
            elif task.job.is_done():
                task.state = "done"
            else:
                self._start_one(task, self.free.pop(0))

    def _start_one(self, task: Task, slot: int) -> None:
        task.job.freeze()
        task.slot, task.state, task.started = slot, "running", time.monotonic()
        output, environment = task.job.directory / OUTPUT_LOG, self.slots[slot]
        if task.job.is_one_process:
            cfg = task.job.with_hydra(self.hydra)
            task.process = forkserver.start_job(task.job.line, cfg, self.context, str(output), environment)
        else:
            task.process = _start_alone(task.job.line, output, environment)

    def _settle(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task.process is None or (status := _status(task.process)) is None:
                continue
            self.free.append(task.slot)
            if isinstance(task.process, subprocess.Popen):
                _kill_group(task.process.pid)  # what it has started may be left
            task.process, task.seconds = None, time.monotonic() - task.started
            if _is_done(task.job) or (status == 0 and task.job.has_result()):
                task.state = "done"
            elif status == Busy.exit_status:
                task.state = "elsewhere"
            else:
                task.state, task.error = "failed", why(task.job.directory, status)
                self.is_full = self.is_full or status == DISK_FULL

    def _look_elsewhere(self, tasks: Sequence[Task]) -> None:
        """Follows what other processes do, also with a run that failed here."""
        for task in tasks:
            if task.state not in ("elsewhere", "failed"):
                continue
            if lease.holder(task.job.directory) is not None:
                task.state = "elsewhere"
            elif _is_done(task.job):
                task.state = "done"
            elif task.state == "elsewhere":
                task.state = "failed" if task.error else "waiting"  # each invocation tries once

    def _wait(self, tasks: Sequence[Task]) -> None:
        processes = [task.process for task in tasks if task.process is not None]
        sentinels = [process.sentinel for process in processes if isinstance(process, BaseProcess)]
        if sentinels:
            wait(sentinels, POLL_SECONDS)
        else:
            time.sleep(POLL_SECONDS)


def _is_done(job: Job) -> bool:
    """Whether its result is there, and not an earlier one that came back when the run failed."""
    return is_finished(job.directory) and read_failure(job.directory) is None and job.is_done()


def why(directory: Path, status: int) -> str:
    """The last line of what went wrong in a run that ended with an exit status; negative for a signal."""
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    if error := read_failure(directory):
        return error.splitlines()[-1]
    with suppress(OSError):
        lines = (directory / OUTPUT_LOG).read_text(errors="replace").split("\n")
        if texts := [line.strip() for line in lines if line.strip()]:
            return texts[-1]
    return f"ended with status {status}"


def slots(
    jobs_at_a_time: int | None, gpus: Sequence[str], gpus_per_job: int, jobs_per_gpu: int
) -> list[dict[str, str]]:
    """The slots of this machine.

    Args:
        jobs_at_a_time: Their number, or None for one per group of GPUs, or per CPU core if there are none.
        gpus: The GPUs to use, as `CUDA_VISIBLE_DEVICES` calls them; none for jobs on the CPU.
        gpus_per_job: How many a job needs.
        jobs_per_gpu: How many jobs share one.

    Example:
        >>> slots(None, ["0", "1", "2", "3"], 2, 1)
        [{'CUDA_VISIBLE_DEVICES': '0,1'}, {'CUDA_VISIBLE_DEVICES': '2,3'}]
    """
    groups = [gpus[first : first + gpus_per_job] for first in range(0, len(gpus), gpus_per_job)]
    environments = [
        {"CUDA_VISIBLE_DEVICES": ",".join(group)} for group in groups if len(group) == gpus_per_job
    ] * jobs_per_gpu
    if environments:
        return environments[:jobs_at_a_time]
    return [{} for _ in range(jobs_at_a_time or usable_cores())]


def usable_cores() -> int:
    """CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, found without torch."""
    if (named := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in named.split(",") if name]
    return [str(index) for index, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _start_alone(
    words: Sequence[str], output: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Starts a job that starts further processes by its own command line."""
    with output.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "vae_lab", *words],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )


def _status(process: "BaseProcess | subprocess.Popen[bytes]") -> int | None:
    return process.exitcode if isinstance(process, BaseProcess) else process.poll()


def _stop(processes: "Sequence[BaseProcess | subprocess.Popen[bytes]]", patience: float = 5.0) -> None:
    """Interrupts jobs as Ctrl-C does, and kills with what they have started those that do not end."""
    running = [process for process in processes if _status(process) is None]
    if not running:
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave them
    try:
        for process in running:
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGINT)
        until = time.monotonic() + patience
        while any(_status(process) is None for process in running) and time.monotonic() < until:
            time.sleep(0.05)
        for process in running:
            if _status(process) is None:
                _kill_group(process.pid or 0)
    finally:
        signal.signal(signal.SIGINT, before)


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
