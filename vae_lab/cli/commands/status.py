"""`vae-lab status`."""

import sys
from collections import Counter

from rich.table import Table

from vae_lab.errors import UserError
from vae_lab.runs import lease
from vae_lab.sweep import manifest
from vae_lab.sweep.launchers import slurm
from vae_lab.sweep.manifest import Entry
from vae_lab.sweep.show import plain_console

STYLES = {"failed": "red", "running": "green"}
ORDER = ("done", "running", "queued", "failed", "missing", "unknown")


def main() -> None:
    """Shows how the runs of a sweep stand, from their files and from SLURM's queue.

    Raises:
        UserError: If there is no such sweep.
    """
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        return print("usage: vae-lab status outputs/sweeps/NAME, or NAME where outputs/ is")
    if len(words) != 1 or words[0].startswith("-"):
        raise UserError("takes the directory or the name of one sweep.")
    directory = manifest.directory_of(words[0])
    entries = manifest.read_manifest(directory).entries
    numbers = slurm.numbers(directory)
    queued = slurm.states() if numbers else {}
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    count: Counter[str] = Counter()
    for entry in entries:
        state, description = _state(entry, numbers.get(entry.directory.name), queued)
        count[state] += 1
        table.add_row(state, entry.label, description, style=STYLES.get(state, ""))
    console = plain_console(markup=False)
    console.print(
        f"{directory.name}: " + ", ".join(f"{count[state]} {state}" for state in ORDER if count[state]),
        style="bold",
    )
    console.print(table)


def _state(entry: Entry, job_id: str | None, queued: dict[str, str] | None) -> tuple[str, str]:
    state, error = entry.state()
    at_slurm = (queued or {}).get(job_id or "", "")
    if state == "running":
        holder = lease.holder(entry.directory)
        progress = holder.progress if holder else {}
        share = 100 * progress.get("samples", 0) / (progress.get("total") or 1)
        where = f" on {holder.host}" if holder else ""
        return state, f"{share:.0f} %{where}" + (f", SLURM job {job_id}" if at_slurm else "")
    if state != "done" and at_slurm:
        return "queued", f"SLURM job {job_id}: {at_slurm}"
    if state == "missing" and job_id and queued is None:
        return "unknown", f"SLURM job {job_id}: squeue does not answer"
    if state == "missing" and job_id:
        return "failed", slurm.how_it_ended(entry.directory, job_id)
    return state, error
