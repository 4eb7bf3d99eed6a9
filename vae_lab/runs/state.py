"""How a run stands, by the files in its directory."""

from pathlib import Path

from vae_lab.runs import lease
from vae_lab.runs.failure import read_failure
from vae_lab.runs.names import EARLIER, RESULT
from vae_lab.runs.result import AGAIN_HINT, is_finished


def state_of(directory: Path) -> tuple[str, str]:
    """`done`, `running`, `failed` or `missing`, and the error if the run failed."""
    if is_finished(directory):
        return "done", ""
    if lease.holder(directory) is not None:
        return "running", ""
    if (directory / RESULT).is_file():
        return "failed", f"{directory / RESULT} is damaged; {AGAIN_HINT}"
    if (error := read_failure(directory)) is not None:
        return "failed", error.splitlines()[-1]
    earlier = directory / EARLIER
    return "missing", f"its earlier result is in {earlier}" if is_finished(earlier) else ""
