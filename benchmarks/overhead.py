"""The cost of a run of a sweep beyond its training, in a warm slot.

Runs a sweep of short runs one after another, and takes the time from one result to the next less the seconds
that the run itself counted as training: what is left is start, data, evaluation, figures and files.

    python benchmarks/overhead.py
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SWEEP = [
    "train", "-m", "seed=range(12)", "hydra.launcher.slots=1", "trainer.max_epochs=3",
    "trainer.evaluate_at=end", "evaluation.importance_samples=1",
]  # fmt: skip


def overheads(logger: str) -> list[float]:
    """Seconds beyond training of each run but the first."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vae_lab", *SWEEP, f"logger={logger}"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        paths = sorted(
            Path(folder).glob("outputs/runs/*/metrics.json"), key=lambda path: path.stat().st_mtime
        )
        ends = [path.stat().st_mtime for path in paths]
        training = [json.loads(path.read_text())["timing"]["training_seconds"] for path in paths]
    return [ends[i] - ends[i - 1] - training[i] for i in range(1, len(ends))]


def main() -> None:
    """Prints the median for each logger."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for logger in ("none", "wandb"):
        found = overheads(logger)
        print(
            f"logger={logger}: {statistics.median(found):.2f} s (from {min(found):.2f} to {max(found):.2f})"
        )


if __name__ == "__main__":
    main()
