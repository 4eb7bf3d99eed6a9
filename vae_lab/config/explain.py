"""Errors that the user can mend, in one sentence that names the key, the value and the fix."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

from hydra.errors import (
    ConfigCompositionException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException, ValidationError

from vae_lab.config.malformed import malformed
from vae_lab.config.recognise import (
    CONFIGURATION_ERRORS,
    caused_by,
    itself,
    missing_configuration,
    missing_option,
    mistake_within,
    numbered,
    raised_by,
    refused_key,
    saying,
    unwritable_file,
)
from vae_lab.config.suggest import options_like
from vae_lab.config.too_large import too_large
from vae_lab.config.unknown_key import explain_unknown_key, key_below_value
from vae_lab.errors import DISK_FULL, Several, did_you_mean, on_one_line, shortened

WANTS_TRACEBACK = os.environ.get("VAE_LAB_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR")) == "1"


class Row(NamedTuple):
    """A kind of error that the user can mend.

    Args:
        kind: Its class, or a tuple of classes.
        recognise: Gives what the message needs of an error; None if the row is not for it.
        message: Makes the message of that and the name of the command's primary configuration; None if the
            error is a defect of ours after all.
        exit_status: Of the process, where the error itself has none.
    """

    kind: Any
    recognise: Callable[[Any], Any]
    message: Callable[[Any, str], str | None]
    exit_status: int = 1


def exit_if_explained(error: Exception, command: str, config_name: str | None = None) -> None:
    """Ends the process with one message for a user's mistake; returns for a defect of ours.

    Args:
        error: What happened.
        command: What the user typed after `vae-lab`.
        config_name: The primary configuration, where that is not of the command's name.
    """
    name, subject = row_of(error)
    message = _message(name, subject, config_name or command)
    if message is None:
        return
    message = readable_message(message if isinstance(subject, Several) else on_one_line(message))
    status = getattr(error, "exit_status", ROWS[name].exit_status)
    if WANTS_TRACEBACK and status == 1:
        return
    if WANTS_TRACEBACK:
        traceback.print_exception(error)
    if status == 1:
        sys.exit(f"vae-lab {command}: {message}")
    print(f"vae-lab {command}: {message}", file=sys.stderr)
    sys.exit(status)


def explain(error: BaseException, config_name: str) -> str | None:
    """The message for a user's mistake or a full disk.

    Args:
        error: What happened.
        config_name: The command's primary configuration.

    Returns:
        None for a defect of ours.
    """
    return _message(*row_of(error), config_name)


def _message(name: str, subject: Any, config_name: str) -> str | None:
    return ROWS[name].message(subject, config_name) if name else None


def row_of(error: BaseException) -> tuple[str, Any]:
    """The name of the first row that is for an error, and what that recognises; "" and None for none."""
    for name, row in ROWS.items():
        if isinstance(error, row.kind) and (subject := row.recognise(error)) is not None:
            return name, subject
    return "", None


def readable_message(message: str) -> str:
    """A message without the middle of words that no line can hold."""
    return re.sub(r"\S{300,}", lambda word: shortened(word[0], 200), message)


def in_words(error: BaseException) -> str:
    """The whole of an error's message on one line, but for where OmegaConf was when it arose."""
    lines = [line.strip() for line in str(error).splitlines()]
    phrases = [
        line
        for line in lines
        if line and not line.startswith(("full_key:", "object_type=", "reference_type="))
    ]
    return " ".join(phrases) or type(error).__name__


def _unknown_option(error: MissingConfigException, _: str) -> str:
    group, _, option = str(error.missing_cfg_file).rpartition("/")
    options = [str(name) for name in error.options or []]
    meant = [each.removeprefix(f"{group}=") for each in options_like(group, option, options)]
    if any("=" in each for each in meant):
        return f"{group}={option} is not an option{did_you_mean(option, options, meant)}"
    hint = f"; did you mean {' or '.join(meant)}?" if meant else "."
    return f"{group}={option} is not an option{hint} There are: {', '.join(options)}."


ROWS = {
    "mistake": Row(Exception, mistake_within, lambda mistake, _: str(mistake)),
    "full disk": Row(
        OSError,
        numbered(errno.ENOSPC, errno.EDQUOT),
        lambda error, _: (
            "the disk is full. Make space and give the same command again, which continues from the "
            "last checkpoint."
        ),
        DISK_FULL,
    ),
    "too large": Row(Exception, too_large, lambda message, _: message),
    "open files": Row(
        OSError,
        numbered(errno.EMFILE, errno.ENFILE),
        lambda error, _: "no more files can be opened; raise the limit, as by ulimit -n 1024.",
    ),
    "processes": Row(
        OSError,
        numbered(errno.EAGAIN, errno.ENOMEM),
        lambda error, _: (
            f"the machine gives no further process or memory ({error.strerror}); end what else runs."
        ),
    ),
    "temporary files": Row(
        OSError,
        saying("No usable temporary directory"),
        lambda match, _: "no folder for temporary files can be written to; set TMPDIR to one.",
    ),
    "long name": Row(
        OSError,
        numbered(errno.ENAMETOOLONG),
        lambda error, _: f"{error.filename} is too long for the name of a file; choose a shorter one.",
    ),
    "not writable": Row(
        OSError,
        unwritable_file,
        lambda error, _: f"cannot write {error.filename} ({error.strerror}); choose another output_dir.",
    ),
    "configuration": Row(
        MissingConfigException,
        missing_configuration,
        lambda name, _: f"--config-name={name} is no configuration; leave it out.",
    ),
    "option": Row(MissingConfigException, missing_option, _unknown_option),
    "malformed": Row(OverrideParseException, itself, lambda error, _: malformed(error, sys.argv[1:])),
    "refused key": Row(ConfigCompositionException, refused_key, explain_unknown_key),
    "several values": Row(
        ConfigCompositionException,
        saying(r"^Ambiguous value for argument '([^=]+)=(.*)'\n"),
        lambda match, _: (
            f"{match[1]} has several values: add -m to run each, or write {match[1]}=[{match[2]}] for a list."
        ),
    ),
    "deleted key": Row(
        ConfigCompositionException,
        saying(r"Could not delete from config. '([^']+)' does not exist"),
        lambda match, config_name: explain_unknown_key(match[1], config_name),
    ),
    "key of a file": Row(
        CONFIGURATION_ERRORS,
        caused_by(OmegaConfBaseException, r"Key '[^']+' not in '\w*Config'"),
        lambda cause, config_name: explain_unknown_key(str(cause.full_key), config_name),
    ),
    "absent key": Row(  # which the command line has taken away
        CONFIGURATION_ERRORS,
        caused_by(OmegaConfBaseException, "is not in struct"),
        lambda cause, _: f"{cause.full_key} must be given.",
    ),
    "missing value": Row(
        CONFIGURATION_ERRORS,
        caused_by(MissingMandatoryValue),
        lambda cause, _: f"{cause.full_key} must be given.",
    ),
    "wrong type": Row(
        CONFIGURATION_ERRORS,
        caused_by(ValidationError),
        lambda cause, _: f"{cause.full_key} has the wrong type: {in_words(cause)}.",
    ),
    "value": Row(
        CONFIGURATION_ERRORS,
        caused_by(OmegaConfBaseException),
        lambda cause, _: f"{cause.full_key}: {in_words(cause)}",
    ),
    "other": Row(CONFIGURATION_ERRORS, itself, lambda error, _: in_words(error)),
    "error in Hydra": Row(Exception, raised_by("hydra"), lambda error, _: in_words(error)),
    "error in OmegaConf": Row(  # for an element of a list by a name
        ValueError, raised_by("omegaconf"), lambda _, config_name: key_below_value(config_name)
    ),
}
