"""Which of Hydra's own settings there are to choose; a run relies on the others."""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vae_lab.errors import UserError, did_you_mean

CHOSEN = (
    "hydra/launcher=",
    "hydra/sweeper=",
    "hydra.launcher.",
    "hydra.sweeper.",
    "hydra.run.dir=",
    "hydra.searchpath=",
    "hydra.verbose=",
    "hydra.job_logging.formatters.simple.format=",
    "hydra.job.env_set=",
    "hydra.job.env_set.",
    "hydra.job.env_copy=",
)
NAMES = sorted({beginning.rstrip("=.") for beginning in CHOSEN})
AS_THEY_ARE = (
    "hydra.output_subdir=.hydra",
    "hydra.job.chdir=false",
    "hydra/job_logging=default",
    "hydra/hydra_logging=default",
)
WITHOUT_SENSE = ("hydra.verbose=null", "hydra.run.dir=null")
LIGHTNING_NAME = "hydra.job.name="  # in the command lines of the further processes of a run


def check_hydra_settings(words: Sequence[str]) -> None:
    """Checks the settings of Hydra in a command line.

    Raises:
        UserError: If one is set on which a run relies, or does not exist.
    """
    for word in words:
        setting = word.lstrip("+~")
        is_set = "=" in word or word.startswith("~")  # else it is a path, or the value of a flag
        if not is_set or not re.match(r"hydra([./=]|$)", setting) or setting in AS_THEY_ARE:
            continue
        if setting == "hydra.output_subdir=null" and _is_of_a_job(words):
            continue
        if setting.startswith("hydra.launcher.") and "_target_" in setting:
            raise UserError(
                f"{setting.partition('=')[0]} must be a plain value; hydra/launcher= chooses a class."
            )
        if not setting.startswith((*CHOSEN, LIGHTNING_NAME)) or setting in WITHOUT_SENSE:
            key = setting.partition("=")[0]
            raise UserError(f"{setting if key in NAMES else key} is not to be set{did_you_mean(key, NAMES)}")


def check_environment(variables: Mapping[Any, Any]) -> None:
    """Checks `hydra.job.env_set`, the environment variables that Hydra sets before a run.

    Raises:
        UserError: If one has a name or a value that none can have.
    """
    for name, value in variables.items():
        if not str(name) or {"=", "\0"} & set(str(name)):
            raise UserError(f"hydra.job.env_set must hold names of variables, got {name!r}.")
        if not isinstance(value, str) or "\0" in value:
            raise UserError(f"hydra.job.env_set.{name} must be a text, got {value}.")


def check_format(text: Any) -> None:
    """Checks the format of the lines of a run's log.

    Raises:
        UserError: If logging has no such format.
    """
    try:
        logging.Formatter(text).format(logging.makeLogRecord({}))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"hydra.job_logging.formatters.simple.format must be a format of Python's logging, got {text!r}."
        ) from error


def _is_of_a_job(words: Sequence[str]) -> bool:
    """Whether a command line begins from a frozen configuration, which need not be written again."""
    return bool({"--config-path", "-cp"} & set(words)) or "LOCAL_RANK" in os.environ
