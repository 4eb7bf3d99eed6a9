"""Jobs as arrays on a SLURM cluster, submitted and continued by submitit."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from functools import partial
from pathlib import Path
from typing import Any

from vae_lab.config import trust
from vae_lab.errors import Busy, UserError
from vae_lab.files.writing import write_atomically
from vae_lab.runs.names import OUTPUT_LOG
from vae_lab.sweep.jobs import Job
from vae_lab.sweep.launchers.pool import Task, why
from vae_lab.sweep.launchers.with_parent import die_with_parent

JOBS = "slurm.json"  # in the sweep's directory: the number at SLURM of each submitted run
POLL_SECONDS = 2.0
SILENCE_SECONDS = 600.0  # for which squeue may give no answer, as when SLURM is started again
MAX_ABSENCES = 4  # times that a job may be missing in the queue, since it is while it is queued again
BUSY_SECONDS = 10.0


class SlurmTask:
    """A task of a SLURM job, run by submitit: one command line, as a process beside it.

    On the signal that comes before a time-out or a preemption, submitit asks for a `checkpoint` and puts the
    job back into the queue, where the same line continues from the run's last checkpoint.

    Args:
        words: The command line after `vae-lab`.
        directory: The run's directory.
    """

    def __init__(self, words: Sequence[str], directory: str) -> None:
        self.words = list(words)
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> str:
        while (status := self._run()) == Busy.exit_status:
            time.sleep(BUSY_SECONDS)  # the earlier process, on a node that is lost, is soon considered dead
        if status:
            raise RuntimeError(why(Path(self.directory), status))
        return self.directory

    def checkpoint(self) -> Any:
        """Ends the process, whose checkpoint is a few seconds old, and gives what is to be queued again."""
        from submitit.helpers import DelayedSubmission

        if self.process is not None:  # whose own methods would wait for a lock that __call__ holds just now
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        return DelayedSubmission(SlurmTask(self.words, self.directory))

    def _run(self) -> int:
        with Path(self.directory, OUTPUT_LOG).open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "vae_lab", *self.words],
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=partial(_leave_signals_to_submitit, os.getpid()),
            )
            try:
                return self.process.wait()
            finally:
                self.process.kill()  # if submitit has ended the wait


def submit(
    tasks: Sequence[Task], directory: Path, name: str, threads: int, settings: Mapping[str, Any]
) -> dict[str, str]:
    """Submits jobs as arrays, one for each number of devices, unless they are queued already.

    Args:
        tasks: The jobs.
        directory: The sweep's, which gets submitit's files and `slurm.json`.
        name: Of the jobs at SLURM.
        threads: CPU threads of each.
        settings: The node of the launcher.

    Returns:
        The number at SLURM of each submitted run, by its signature.

    Raises:
        UserError: If SLURM refuses, or does not tell what it has already.
    """
    from submitit import SlurmExecutor  # an extra, which the launcher has looked for

    known = numbers(directory)
    queued = states() if known else {}
    if queued is None:
        raise UserError("squeue does not answer, which must tell what is queued already; try again later.")
    arrays: dict[tuple[int, int, bool], list[Job]] = defaultdict(list)
    for task in tasks:
        job = task.job
        if task.state == "waiting" and known.get(job.signature) not in queued:
            on_gpu = job.cfg.trainer.accelerator != "cpu"
            arrays[job.num_devices, int(job.cfg.trainer.num_nodes), on_gpu].append(job)
    for (devices, nodes, on_gpu), jobs in arrays.items():
        for job in jobs:
            job.freeze()
        executor = SlurmExecutor(directory / "submitit", max_num_timeout=int(settings["max_num_timeout"]))
        resources = {"gpus_per_node": devices} if on_gpu else {}
        executor.update_parameters(
            job_name=name, nodes=nodes, ntasks_per_node=devices, **_parameters(threads, settings), **resources
        )
        try:
            with redirect_stderr(io.StringIO()), executor.batch():  # the exception says it again
                submitted = [executor.submit(SlurmTask(job.line, str(job.directory))) for job in jobs]
        except Exception as error:
            message = getattr(error, "stderr", "") or str(error)
            raise UserError(f"SLURM refused the jobs: {message.strip().splitlines()[-1]}") from error
        job_ids = [str(each.job_id) for each in submitted]
        known |= {job.signature: job_id for job, job_id in zip(jobs, job_ids, strict=True)}
        write_atomically(directory / JOBS, json.dumps(known, indent=1) + "\n")
    return {task.job.signature: known.get(task.job.signature, "") for task in tasks}


def wait_for_jobs(
    tasks: Sequence[Task], submitted: Mapping[str, str], show: Callable[[Sequence[Task]], None]
) -> None:
    """Follows submitted jobs until each is done or has left the queue."""
    unseen: Counter[str] = Counter()
    silent = 0.0
    while any(task.state in ("waiting", "running") for task in tasks):
        queued = states()
        if queued is None and silent < SILENCE_SECONDS:
            silent += POLL_SECONDS
            time.sleep(POLL_SECONDS)
            continue
        queued, silent = queued or {}, 0.0 if queued is not None else silent
        for task in tasks:
            job_id = submitted[task.job.signature]
            unseen[job_id] += 1
            if task.job.is_done():
                task.state = "done"
            elif job_id in queued:
                unseen[job_id] = 0
                _follow(task, queued[job_id])
            elif task.state in ("waiting", "running") and unseen[job_id] > MAX_ABSENCES:
                task.state, task.error = "failed", how_it_ended(task.job.directory, job_id)
        show(tasks)
        time.sleep(POLL_SECONDS)
    show(tasks)


def numbers(directory: Path) -> dict[str, str]:
    """The number at SLURM of each run that a sweep has submitted, by its signature."""
    with suppress(OSError, ValueError, RecursionError):
        recorded = json.loads((directory / JOBS).read_bytes())
        if isinstance(recorded, dict):
            return {name: str(job_id) for name, job_id in recorded.items()}
    return {}


def states() -> dict[str, str] | None:
    """The states of the user's jobs in SLURM's queue, such as `RUNNING` or `PENDING (Priority)`.

    None if SLURM does not answer.
    """
    output = _ask("squeue", "--noheader", "--array", "--me", "--format=%i|%T|%r")
    if output is None:
        return None
    states_by_id = {}
    for line in output.splitlines():
        job_id, state, reason = line.split("|")
        states_by_id[job_id] = state if reason == "None" or state == "RUNNING" else f"{state} ({reason})"
    return states_by_id


def how_it_ended(directory: Path, job_id: str) -> str:
    """Why a job that left the queue has no result: from its files, from `sacct`, or without either."""
    error = why(directory, 1)
    output = _ask("sacct", "--noheader", "--allocations", "--parsable2", f"--jobs={job_id}", "--format=State")
    state = output.strip().splitlines()[-1] if output and output.strip() else ""
    if state and not state.startswith(("FAILED", "COMPLETED")):
        return f"SLURM job {job_id}: {state}"
    return error


def _follow(task: Task, state: str) -> None:
    began = task.state != "running" and state == "RUNNING"
    task.state = "running" if state == "RUNNING" else "waiting"
    if began:
        task.started = time.monotonic()


def _parameters(threads: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters for submitit, beyond the resources that follow from the trainer."""
    chosen = {
        "partition": settings["partition"],
        "time": settings["minutes"],
        "mem": settings["memory"],
        "cpus_per_task": threads,
        "array_parallelism": settings["array_parallelism"],
        "signal_delay_s": settings["signal_seconds"],
        "setup": [f"export OMP_NUM_THREADS={threads}", *_exports(), *settings["setup"]],
        "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True, **(settings["additional_parameters"] or {})},
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _exports() -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in trust.exported().items()]


def _ask(*command: str) -> str | None:
    """The output of a command of SLURM; None if it fails, as `sacct` does without accounting."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _leave_signals_to_submitit(parent: int) -> None:
    die_with_parent(parent)
    for signum in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT):
        signal.signal(signum, signal.SIG_IGN)
    os.setpgrp()
