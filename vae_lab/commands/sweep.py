"""`vae-lab sweep`."""

import subprocess
import sys

from vae_lab import config
from vae_lab.errors import UserError
from vae_lab.orchestration import signature
from vae_lab.orchestration.sweep import Job, Sweep, question
from vae_lab.paths import SWEEPS


def main() -> None:
    """Runs a named sweep, one process after another, and draws its figure; lists the sweeps without a name.

    A job that fails does not stop the others; what is done is not done again.
    """
    config.register()
    signature.register()
    arguments = sys.argv[1:]
    if not arguments or {"-h", "--help"} & set(arguments):
        return _list()
    flags = [word for word in arguments if word.startswith("-")]
    if flags:
        raise UserError(f"{flags[0]} is not understood; a sweep takes its name, group=option and key=value.")
    sweep = Sweep(arguments[0], arguments[1:])
    jobs = sweep.jobs()
    if sweep.notice:
        print(f"note: {sweep.notice}")
    failed = [job for number, job in enumerate(jobs, 1) if not _run(sweep, job, f"{number} of {len(jobs)}")]
    done = [job for job in jobs if job.is_done]
    if done:
        from vae_lab.figures.of_sweep import draw_sweep

        for path in draw_sweep(sweep, done):
            print(path)
    if failed:
        commands = "\n".join(f"  {_typed(sweep, job)}" for job in failed)
        raise UserError(f"{len(done)} done, {len(failed)} failed; each alone:\n{commands}")


def _list() -> None:
    print("usage: vae-lab sweep NAME [group=option ...] [key=value ...]\n")
    for path in sorted(SWEEPS.glob("*.yaml")):
        print(f"  {path.stem:30} {question(path)}")


def _run(sweep: Sweep, job: Job, number: str) -> bool:
    point = " ".join(f"{key}={value}" for key, value in job.point.items())
    if job.is_done and "rerun=true" not in job.overrides:
        print(f"{number}: {point or job.directory.name}: done already", flush=True)
        return True
    print(f"{number}: {point or job.directory.name}", flush=True)
    subprocess.run([sys.executable, "-m", "vae_lab.cli", sweep.command, *job.overrides], check=False)
    return job.is_done


def _typed(sweep: Sweep, job: Job) -> str:
    return " ".join(["vae-lab", sweep.command, *(f"'{word}'" for word in job.overrides)])
