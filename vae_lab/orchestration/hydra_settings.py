"""Which of Hydra's own settings there are to choose; a run relies on the others."""

import os
import re
from collections.abc import Sequence

from vae_lab.errors import UserError, did_you_mean

CHOSEN = (
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.launcher",
    "hydra.sweeper",
    "hydra.run.dir",
    "hydra.searchpath",
    "hydra.verbose",
    "hydra.job.env_set",
    "hydra.job.env_copy",
)
AS_THEY_ARE = (
    "hydra.output_subdir=.hydra",
    "hydra.job.chdir=false",
    "hydra/job_logging=default",
    "hydra/hydra_logging=default",
)
OF_LIGHTNING = ("hydra.job.name",)  # in the command lines of the further processes of a run


def check(words: Sequence[str]) -> None:
    """Checks the settings of Hydra in a command line.

    Raises:
        UserError: If one is set on which a run relies, or does not exist.
    """
    given = [word.lstrip("+~") for word in words]
    is_frozen = {"--config-path", "-cp"} & set(words) or "LOCAL_RANK" in os.environ
    for word in given:
        if not re.match(r"hydra[./]", word) or word in AS_THEY_ARE:
            continue
        if word == "hydra.output_subdir=null" and is_frozen:
            continue
        key = word.partition("=")[0]
        if not any(re.match(rf"{re.escape(name)}([./@]|$)", key) for name in (*CHOSEN, *OF_LIGHTNING)):
            raise UserError(f"{key} is not to be set{did_you_mean(key, CHOSEN)}")
