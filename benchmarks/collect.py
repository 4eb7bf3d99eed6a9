"""How long it takes to collect a sweep of many runs from their `metrics.json`.

Makes 10,000 results of the size that a real run leaves, and times `vae-lab figures`' reading and summarising.

    python benchmarks/collect.py [--runs 10000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vae_lab.sweep import manifest, table

REAL = [
    "train",
    "logger=none",
    "trainer.max_epochs=1",
    "evaluation.importance_samples=2",
    "hydra.run.dir=run",
]


def main() -> None:
    """Prints the seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    count = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        subprocess.run([sys.executable, "-m", "vae_lab", *REAL], cwd=root, check=True, capture_output=True)
        result = json.loads((root / "run" / "metrics.json").read_text())
        entries = []
        for number in range(count):
            point = {"latent_dim": str(number // 100), "lr": str(number // 10 % 10), "seed": str(number % 10)}
            result["metrics"]["test/elbo"] = -100 - number % 7
            directory = root / "runs" / str(number)
            directory.mkdir(parents=True)
            (directory / "metrics.json").write_text(json.dumps(result, indent=2))
            entries.append(manifest.Entry(point, directory))
        roles = {"latent_dim": "scientific", "lr": "nuisance", "seed": "repeats"}
        sweep = manifest.Manifest("many", "", "train", "against", "test/elbo", roles, entries, {})
        started = time.perf_counter()
        results = table.collect(sweep)
        table.write_table(results, root)
        seconds = time.perf_counter() - started
        size = (root / "runs" / "0" / "metrics.json").stat().st_size
        print(f"{len(results.runs):,} runs of {size:,} bytes each: {seconds:.1f} s")


if __name__ == "__main__":
    main()
