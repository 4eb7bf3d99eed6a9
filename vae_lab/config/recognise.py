"""Recognisers of errors: each gives what the message for an error needs, or None for other errors."""

import errno
import re
import traceback
from collections.abc import Callable
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from vae_lab.errors import UserError

CONFIGURATION_ERRORS = (HydraException, OmegaConfBaseException)
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def itself(error: BaseException) -> BaseException:
    """Every error of a class."""
    return error


def mistake_within(error: BaseException | None) -> UserError | None:
    """The error, or the one that led to it where Hydra has put its own around ours."""
    while error is not None and not isinstance(error, UserError):
        wraps = isinstance(error, CONFIGURATION_ERRORS)
        error = (error.__cause__ or error.__context__) if wraps else None
    return error


def numbered(*numbers: int) -> Callable[[OSError], OSError | None]:
    """Recognises an error of the operating system by its number."""
    return lambda error: error if error.errno in numbers else None


def saying(pattern: str) -> Callable[[BaseException], re.Match[str] | None]:
    """Recognises an error by its text; gives the match."""
    return lambda error: re.search(pattern, str(error))


def raised_by(library: str) -> Callable[[BaseException], BaseException | None]:
    """Recognises what a library raises that is not one of its own classes."""

    def recognise(error: BaseException) -> BaseException | None:
        frames = list(traceback.walk_tb(error.__traceback__))
        module = str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""
        return error if module.startswith(f"{library}.") else None

    return recognise


def caused_by(
    kind: type[OmegaConfBaseException], pattern: str = ""
) -> Callable[[BaseException], OmegaConfBaseException | None]:
    """Recognises an error to which one of OmegaConf's led that names a key."""

    def recognise(error: BaseException) -> OmegaConfBaseException | None:
        cause = _root(error)
        return cause if isinstance(cause, kind) and re.search(pattern, str(cause)) else None

    return recognise


def _root(error: BaseException) -> OmegaConfBaseException | None:
    """The innermost of OmegaConf's errors that led to this one, or is this one, and names a key."""
    root: Any = None
    inner: BaseException | None = error
    while inner is not None:
        root = inner if getattr(inner, "full_key", None) else root
        inner = inner.__cause__ or inner.__context__
    return root


def unwritable_file(error: OSError) -> OSError | None:
    """The error, if it names a file that cannot be written where it is."""
    return error if error.filename and error.errno in UNWRITABLE else None


def missing_configuration(error: MissingConfigException) -> str | None:
    """The name of a primary configuration that is not there."""
    name = str(error.missing_cfg_file or "")
    return name if name and "/" not in name else None


def missing_option(error: MissingConfigException) -> MissingConfigException | None:
    """The error, if it names an option of a group."""
    return error if error.missing_cfg_file else None


def refused_key(error: ConfigCompositionException) -> str | None:
    """The key that an override names, or one within its value."""
    match = re.search(r"Could not override '([^']+)'", str(error))
    return None if match is None else str(getattr(error.__cause__, "full_key", None) or match[1])
