"""The one kind of error that is shown to the user without a traceback."""

import difflib
from collections.abc import Iterable

DISK_FULL = 74  # exit status


class UserError(Exception):
    """A mistake or a circumstance that the user can mend; its text names what, where, and the fix."""

    exit_status = 1


class Busy(UserError):
    """Another process does this run."""

    exit_status = 75


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown name: the nearest that is known, and all that are.

    Example:
        >>> did_you_mean("cnv", ["mlp", "conv"])
        '; did you mean conv? There are: mlp, conv.'
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"{hint} There are: {', '.join(names)}." if names else hint
