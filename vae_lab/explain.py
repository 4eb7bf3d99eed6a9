"""Errors that the user can mend, in one sentence that names the key, the value and the fix."""

import errno
import os
import re
import sys
import traceback
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from vae_lab.errors import UserError, did_you_mean

WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EDQUOT)


def exit_if_explained(error: Exception, command: str) -> None:
    """Ends the process with one message for a user's mistake; returns for a defect of ours."""
    message = None if WANTS_TRACEBACK else explain(error, command)
    if message is not None:
        sys.exit(f"vae-lab {command}: {message}")


def explain(error: Exception, config_name: str) -> str | None:
    """The message for a user's mistake or a full disk, or None for a defect of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return (
            "the disk is full. Make space and give the same command again: it continues from the last "
            "checkpoint."
        )
    if isinstance(error, OSError) and error.filename and error.errno in UNWRITABLE:
        return f"cannot write {error.filename} ({error.strerror}); choose another output_dir."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _composition(error, config_name)
    if _raised_by_hydra(error):
        return _first_line(error)
    return None


def _raised_by_hydra(error: BaseException) -> bool:
    """Whether Hydra refused an override by an error that is not one of its own classes."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("hydra.")


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = [str(name) for name in error.options or []]
    return f"{group}={option} is not an option{did_you_mean(option, options)}"


def _composition(error: BaseException, config_name: str) -> str:
    cause = _root(error)
    missing = re.search(r"Could not override '([^']+)'", str(error))
    if missing and isinstance(error, ConfigCompositionException):
        return _unknown_key(missing[1], config_name)
    unknown = re.search(r"Key '([^']+)' not in '\w*Config'", str(cause))
    if unknown:
        return _unknown_key(unknown[1], config_name)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        if "is not in struct" in str(cause):
            return _unknown_key(str(cause.full_key), config_name)
        if isinstance(cause, ValidationError):
            return f"{cause.full_key} has the wrong type: {_first_line(cause)}."
        return f"{cause.full_key}: {_first_line(cause)}"
    return _first_line(error)


def _root(error: BaseException) -> BaseException:
    """The innermost of OmegaConf's errors that led to this one and name a key, or the error itself."""
    found, inner = error, error.__cause__ or error.__context__
    while inner is not None:
        found = inner if getattr(inner, "full_key", None) else found
        inner = inner.__cause__ or inner.__context__
    return found


def _unknown_key(key: str, config_name: str) -> str:
    parent = key.rpartition(".")[0]
    names = _keys_below(parent, config_name)
    if parent and not names:
        return _unknown_key(parent, config_name)  # the mistake is higher up
    return f"{key} does not exist{did_you_mean(key.rpartition('.')[2], names)}"


def _keys_below(parent: str, config_name: str) -> list[str]:
    """The keys of a node of the configuration that the command line's choices of options make."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from vae_lab.paths import CONF

    choices = [word for word in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w/]+", word)]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in (choices, []):
            try:
                node: Any = OmegaConf.select(compose(config_name, overrides), parent) if parent else None
                node = node if parent else compose(config_name, overrides)
            except Exception:
                continue
            keys = list(node) if isinstance(node, DictConfig) else []
            return sorted(str(key) for key in keys if not str(key).startswith("_"))
    return []


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
