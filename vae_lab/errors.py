"""The one kind of error that is shown to the user without a traceback."""

import difflib
from collections.abc import Iterable, Sequence

DISK_FULL = 74  # exit status


class UserError(Exception):
    """A mistake or a circumstance that the user can mend; its text names what, where, and the fix."""

    exit_status = 1


class Several(UserError):
    """Failures of several runs: a summary, and lines on each."""


class Busy(UserError):
    """Another process does this run."""

    exit_status = 75


def did_you_mean(name: str, known: Iterable[str], meant: Sequence[str] = ()) -> str:
    """The end of a sentence on an unknown name: what may be meant, and all that are known.

    Args:
        name: The unknown name.
        known: The names that there are.
        meant: What may be meant, if that is known better than by the spelling.

    Example:
        >>> did_you_mean("cnv", ["mlp", "conv"])
        '; did you mean conv? There are: mlp, conv.'
        >>> did_you_mean("lr", ["optimizer", "seed"], ["optimizer.lr"])
        '; did you mean optimizer.lr?'
    """
    names = list(known)
    likely = list(meant) or nearest_name(name, names)
    hint = f"; did you mean {' or '.join(likely)}?" if likely else "."
    return f"{hint} There are: {', '.join(names)}." if names and not meant else hint


def nearest_name(name: str, known: Iterable[str]) -> list[str]:
    """The name that is spelt nearest to another, if one is near."""
    spelt = {each.lower(): each for each in known}
    return [spelt[each] for each in difflib.get_close_matches(name.lower(), spelt, n=1, cutoff=0.5)]


def shortened(text: str, length: int = 100) -> str:
    """A text without its middle, if it is long.

    Example:
        >>> shortened("0123456789", 7)
        '012…789'
    """
    kept = length // 2
    return text if len(text) <= length else f"{text[:kept]}…{text[-kept:]}"


def on_one_line(text: str) -> str:
    r"""A text whose line breaks and other characters that a terminal obeys are written out.

    Example:
        >>> on_one_line("seed=1\n\x1b[2J, é")
        'seed=1\\n\\x1b[2J, é'
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )
