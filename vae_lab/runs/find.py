"""A run's directory by the name that the user gives."""

from pathlib import Path

from vae_lab.errors import UserError, did_you_mean
from vae_lab.runs.names import FROZEN, RESULT


def find_run(run: str, output_dir: str) -> Path:
    """The directory of a run, finished or not, from its directory or its signature.

    Raises:
        UserError: If there is none.
    """
    runs = Path(output_dir) / "runs"
    for path in (Path(run), runs / run):
        if (path / FROZEN[0]).is_file():
            return path
    known = [path.parent.name for path in runs.glob(f"*/{RESULT}")]
    if run == "inf":
        raise UserError(
            f"run={run}: a signature that reads as a number needs quotes: \"run='59e074444826'\"."
        )
    sweep = next((path for path in (Path(run), runs.parent / "sweeps" / run) if _is_sweep(path)), None)
    if sweep is not None:
        raise UserError(f"run={run} is a sweep; write runs={run} for all its runs.")
    raise UserError(
        f"run={run} is neither a run's directory nor a signature of {runs}{did_you_mean(run, known)}"
    )


def _is_sweep(path: Path) -> bool:
    return (path / "manifest.json").is_file()
