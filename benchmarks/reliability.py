"""Kills a sweep at random moments, again and again, and compares its table with that of an undisturbed one.

Each round starts the sweep and, after a random time, sends SIGKILL to the sweep itself, to its server or to
one of its jobs. Afterwards the sweep is left to finish. Reported are the runs lost, the runs done twice (a
result that changed after it was there), and whether `table.csv` is the same byte for byte.

    python benchmarks/reliability.py [--kills 50] [--seed 0]
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = [
    "train", "-m", "model.latent_dim=2,3,4,5", "seed=0,1,2,3", "logger=none", "trainer.max_epochs=40",
    "trainer.evaluate_at=end", "trainer.checkpoint_seconds=0.3", "evaluation.importance_samples=10",
]  # fmt: skip


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """Starts the sweep in a folder of its own."""
    command = [sys.executable, "-m", "vae_lab.cli", *SWEEP]
    with (folder / "sweep.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def results(folder: Path) -> dict[str, float]:
    """The finished runs, with the moment when each was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("outputs/runs/*/metrics.json")}


def table(folder: Path) -> bytes:
    """The sweep's table."""
    (path,) = folder.glob("outputs/sweeps/*/table.csv")
    return path.read_bytes()


def disturb(folder: Path, kills: int, chance: random.Random) -> tuple[int, int]:
    """Kills the sweep or a part of it so many times; gives how often it was started, and runs done twice."""
    starts, twice, killed = 0, 0, 0
    before: dict[str, float] = {}
    while killed < kills:
        process = start(folder)
        starts += 1
        while process.poll() is None and killed < kills:
            time.sleep(chance.uniform(0.2, 9.0))
            victims = family(process.pid)
            victim = process.pid if chance.random() < 0.5 else chance.choice(victims)
            try:
                os.kill(victim, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
            time.sleep(0.05)
            after = results(folder)
            twice += sum(after.get(name) != moment for name, moment in before.items())
            before = after
        process.wait()
        if len(results(folder)) == 16 and killed < kills:  # all done: begin again with the next seeds
            for path in folder.glob("outputs/runs/*"):
                subprocess.run(["rm", "-rf", str(path)], check=True)
            before = {}
    return starts, twice


def main() -> None:
    """Prints what was lost, done twice or different."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        undisturbed, disturbed = Path(first), Path(second)
        assert start(undisturbed).wait() == 0, (undisturbed / "sweep.log").read_text()
        starts, twice = disturb(disturbed, arguments.kills, random.Random(arguments.seed))
        before = results(disturbed)
        status = start(disturbed).wait()
        after = results(disturbed)
        twice += sum(after.get(name) != moment for name, moment in before.items())
        print(f"{arguments.kills} kills in {starts} invocations; the last ended with status {status}")
        print(f"runs lost: {len(results(undisturbed)) - len(after)}")
        print(f"runs done twice: {twice}")
        print(f"same table: {'yes' if table(undisturbed) == table(disturbed) else 'no'}")


if __name__ == "__main__":
    main()
