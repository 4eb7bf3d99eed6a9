"""Errors that the user can mend, in one sentence that names the key, the value and the fix."""

import difflib
import errno
import os
import re
import sys
import traceback
from contextlib import suppress
from functools import cache
from typing import Any

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from vae_lab.config.malformed import malformed
from vae_lab.config.options import groups
from vae_lab.config.schema import TRAINING_GROUPS
from vae_lab.config.suggest import keys_like, options_like, options_with
from vae_lab.config.too_large import too_large
from vae_lab.errors import DISK_FULL, Several, UserError, did_you_mean, on_one_line, shortened

WANTS_TRACEBACK = os.environ.get("VAE_LAB_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR")) == "1"
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def exit_if_explained(error: Exception, command: str, config_name: str | None = None) -> None:
    """Ends the process with one message for a user's mistake; returns for a defect of ours.

    Args:
        error: What happened.
        command: What the user typed after `vae-lab`.
        config_name: The primary configuration, where that is not of the command's name.
    """
    message = explain(error, config_name or command)
    if message is not None and not isinstance(_mistake(error), Several):
        message = on_one_line(message)
    message = None if message is None else readable_message(message)
    status = DISK_FULL if _is_full(error) else getattr(error, "exit_status", 1)
    if message is None or (WANTS_TRACEBACK and status == 1):
        return
    if WANTS_TRACEBACK:
        traceback.print_exception(error)
    if status == 1:
        sys.exit(f"vae-lab {command}: {message}")
    print(f"vae-lab {command}: {message}", file=sys.stderr)
    sys.exit(status)


def explain(error: Exception, config_name: str) -> str | None:
    """The message for a user's mistake or a full disk, or None for a defect of ours."""
    if (mistake := _mistake(error)) is not None:
        return str(mistake)
    if _is_full(error):
        return (
            "the disk is full. Make space and give the same command again, to continue from the last "
            "checkpoint."
        )
    if (large := too_large(error)) is not None:
        return large
    if (lacking := _lacking(error)) is not None:
        return lacking
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{error.filename} is too long for the name of a file; choose a shorter one."
    if isinstance(error, OSError) and error.filename and error.errno in UNWRITABLE:
        return f"cannot write {error.filename} ({error.strerror}); choose another output_dir."
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _unknown_option(error)
    if isinstance(error, OverrideParseException):
        return malformed(error, sys.argv[1:])
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _composition(error, config_name)
    if _raised_by(error, "hydra"):
        return in_words(error)
    if isinstance(error, ValueError) and _raised_by(error, "omegaconf"):  # an element of a list by a name
        keys = [word.partition("=")[0] for word in sys.argv[1:] if "=" in word]
        return next(
            (_unknown_key(key, config_name) for key in keys if _is_below_value(key, config_name)), None
        )
    return None


def readable_message(message: str) -> str:
    """A message without the middle of words that no line can hold."""
    return re.sub(r"\S{300,}", lambda word: shortened(word[0], 200), message)


def _mistake(error: BaseException | None) -> UserError | None:
    """The error, or the one that led to it where Hydra has put its own around ours."""
    while error is not None and not isinstance(error, UserError):
        wraps = isinstance(error, HydraException | OmegaConfBaseException)
        error = (error.__cause__ or error.__context__) if wraps else None
    return error


def _is_full(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _lacking(error: BaseException) -> str | None:
    """The message for what this machine does not give."""
    if not isinstance(error, OSError):
        return None
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "no more files can be opened; raise the limit, as by ulimit -n 1024."
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"the machine gives no further process or memory ({error.strerror}); end what else runs."
    if "No usable temporary directory" in str(error):
        return "no folder for temporary files can be written to; set TMPDIR to one."
    return None


def _raised_by(error: BaseException, library: str) -> bool:
    """Whether a library refused an override by an error that is not one of its own classes."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith(f"{library}.")


def _unknown_option(error: MissingConfigException) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = [str(name) for name in error.options or []]
    if not group:
        return f"--config-name={option} is no configuration; leave it out."
    meant = [each.removeprefix(f"{group}=") for each in options_like(group, option, options)]
    if any("=" in each for each in meant):
        return f"{group}={option} is not an option{did_you_mean(option, options, meant)}"
    hint = f"; did you mean {' or '.join(meant)}?" if meant else "."
    return f"{group}={option} is not an option{hint} There are: {', '.join(options)}."


def _composition(error: BaseException, config_name: str) -> str:
    cause = _root(error)
    missing = re.search(r"Could not override '([^']+)'", str(error))
    if missing and isinstance(error, ConfigCompositionException):
        return _unknown_key(getattr(error.__cause__, "full_key", None) or missing[1], config_name)
    if several := re.match(r"Ambiguous value for argument '([^=]+)=(.*)'\n", str(error)):
        return (
            f"{several[1]} has several values: add -m to run each, or write {several[1]}=[{several[2]}] for "
            "a list."
        )
    if deleted := re.search(r"Could not delete from config. '([^']+)' does not exist", str(error)):
        return _unknown_key(deleted[1], config_name)
    unknown = re.search(r"Key '([^']+)' not in '\w*Config'", str(cause))
    if unknown:
        return _unknown_key(unknown[1], config_name)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        if isinstance(cause, MissingMandatoryValue):
            return f"{cause.full_key} must be given."
        if "is not in struct" in str(cause):
            return _unknown_key(str(cause.full_key), config_name)
        if isinstance(cause, ValidationError):
            return f"{cause.full_key} has the wrong type: {in_words(cause)}."
        return f"{cause.full_key}: {in_words(cause)}"
    return in_words(error)


def _root(error: BaseException) -> BaseException:
    """The innermost of OmegaConf's errors that led to this one and name a key, or the error itself."""
    found, inner = error, error.__cause__ or error.__context__
    while inner is not None:
        found = inner if getattr(inner, "full_key", None) else found
        inner = inner.__cause__ or inner.__context__
    return found


def _unknown_key(key: str, config_name: str) -> str:
    if key.startswith("hydra."):
        return f"{key} does not exist; +{key}=... adds it."
    if "@" in key:
        return f"{key} does not exist; did you mean {key.partition('@')[0]}?"
    if key in groups() and (options := options_with(key)):
        return f"{key} is not a part of this model or command, but of {', '.join(options)}."
    if "/" in key:
        return f"{key} is not a group of options{did_you_mean(key, groups())}"
    parent, _, name = key.rpartition(".")
    keys = _keys_below(parent, config_name)
    if _is_below_value(key, config_name):
        return f"{key} does not exist: {parent} is given as a whole, {parent}=..."
    if parent and not keys:  # the mistake is higher up
        above, _, last = parent.rpartition(".")
        is_there = last in _keys_below(above, config_name)
        return f"{key} does not exist: {parent} is empty." if is_there else _unknown_key(parent, config_name)
    if parent in TRAINING_GROUPS and ("_target_" not in keys or name in keys):
        return (
            f"{key} must be left out for a model that fits itself, which has no {parent}; in a sweep over "
            "models, give it to the others alone."
        )
    if any(word.startswith(f"{parent}._target_=") for word in sys.argv[1:]):
        typed = next((word for word in sys.argv[1:] if word.startswith(f"{key}=")), f"{key}=VALUE")
        return f"{key} is no argument of the option that is chosen; write +{typed}."
    known = [key for key in keys if not key.startswith("_")]
    slip = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    meant = [] if slip else keys_like(name, _node("", config_name) or {}, near=parent)
    return f"{key} does not exist{did_you_mean(name, known, meant)}"


def unknown_flag(word: str, following: str | None, config_name: str) -> UserError:
    """The error for `--epochs 10` and its like.

    Args:
        word: What begins with a dash.
        following: The word after it, if there is one.
        config_name: The command's primary configuration.
    """
    name, _, value = word.lstrip("-").partition("=")
    if not value and following and "=" not in following and not following.startswith("-"):
        value = following
    meant = keys_like(name.replace("-", "_"), _node("", config_name) or {})
    hints = [key if "=" in key else f"{key}={value}" for key in meant]
    fix = f"write {' or '.join(hints)}" if hints else "keys are given as key=value"
    return UserError(f"{word} is not understood: {fix}; vae-lab {config_name} --help lists the keys.")


def _is_below_value(key: str, config_name: str) -> bool:
    """Whether a key stands below a number, a list or the like."""
    above, _, name = key.rpartition(".")[0].rpartition(".")
    node = _node(above, config_name)
    plain: Any = OmegaConf.to_container(node) if above and isinstance(node, DictConfig) else {}
    return name in plain and not isinstance(plain[name], dict)


def _keys_below(parent: str, config_name: str) -> list[str]:
    """The keys of a node of the configuration."""
    node = _node(parent, config_name)
    return sorted(str(key) for key in node) if isinstance(node, DictConfig) else []


def _node(key: str, config_name: str) -> Any:
    """A node of the configuration that the command line's choices of options make; the whole for ""."""
    of_sweep = [word for word in sys.argv[1:] if word.startswith(("hydra.searchpath=", "+sweeps="))]
    choices = [word for word in sys.argv[1:] if re.fullmatch(r"[\w/]+=[\w/]+", word)]
    for overrides in ([*of_sweep, *choices], of_sweep):
        with suppress(Exception):
            config = _composed(config_name, *overrides)
            return OmegaConf.select(config, key) if key else config
    return None


@cache
def _composed(config_name: str, *overrides: str) -> DictConfig:
    """A configuration, composed once for all that is asked of it."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from vae_lab.files.paths import CONF

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(config_name, list(overrides))


def in_words(error: BaseException) -> str:
    """The whole of an error's message on one line, but for where OmegaConf was when it arose."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [
        line
        for line in lines
        if line and not line.startswith(("full_key:", "object_type=", "reference_type="))
    ]
    return " ".join(said) or type(error).__name__
