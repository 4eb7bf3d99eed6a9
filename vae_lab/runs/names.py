"""The names of the files in a run's directory."""

import re
from pathlib import Path

from vae_lab.files import ownership

RESULT = "metrics.json"  # the last file that a run writes
FAILURE = "failure.json"
OUTPUT_LOG = "output.log"  # what a launched job prints
FAMILY = ".family-"  # marks a run with the signature that it has apart from its budget
RESTART_MARK = (
    ".afresh"  # marks a run that must begin at its beginning; says which way a result is being moved
)
EARLIER = ".earlier"  # the result that is being replaced, until the new one is whole
HYDRA_FILES = (".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml")
FROZEN = (".hydra/config.yaml", ".hydra/overrides.yaml")
# What a run leaves by fixed names, beside figures and tables, which the mark names.
OWN = re.compile(
    r"metrics\.(json|csv)|failure\.json|code\.diff|\.family-[0-9a-f]{12}|\.metrics\.csv\.partial"
    r"|checkpoints/((last|best|samples=\d+)\.ckpt|\.(last|best|samples=\d+)\.partial|last\.partial)"
)
WANDB_FILES = re.compile(r"wandb/((offline-)?run-\d{8}_\d{6}-[0-9a-f]{12}|latest-run|debug(-internal)?\.log)")


def left_by_runs(folder: Path) -> list[str]:
    """The names of what runs have left in a folder: this one or, by W&B's, one of another signature."""
    mark = ownership.mark_of(folder)
    if mark is None:
        return []
    there = [path.name for path in folder.iterdir()]
    for below in ("checkpoints", "wandb"):
        there += [f"{below}/{path.name}" for path in (folder / below).glob("*")]
    return sorted(
        {*mark.files, *(name for name in there if OWN.fullmatch(name) or WANDB_FILES.fullmatch(name))}
    )
