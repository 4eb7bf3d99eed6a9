"""The outcome of one check."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import vae_lab
from vae_lab.checks.mean_gradient import GradientComparison

Status = Literal["passed", "failed", "left out"]
OURS = str(Path(vae_lab.__file__).parent)


class Finding(NamedTuple):
    """The outcome of one check of a part.

    Args:
        check: What is checked.
        subject: The model and the settings with which.
        status: Whether the part is as it declares; `left out` where the check does not apply.
        detail: The measured values, or what is wrong and how it is mended.
        comparison: Of mean gradients, where these are checked.
    """

    check: str
    subject: str
    status: Status
    detail: str
    comparison: GradientComparison | None = None


class DoesNotApplyError(Exception):
    """A check does not apply to a part, for the reason that it is given."""


def finding_of(check: str, subject: str, test: Callable[[], str]) -> Finding:
    """The finding of a test, which gives what it measured, and raises `AssertionError` where the part fails.

    Whatever else the part raises is a failure, too.
    """
    try:
        return Finding(check, subject, "passed", test())
    except DoesNotApplyError as reason:
        return Finding(check, subject, "left out", str(reason))
    except AssertionError as failure:
        return Finding(check, subject, "failed", str(failure) or "an assertion of the part fails")
    except Exception as error:
        return Finding(check, subject, "failed", raised(error))


def raised(error: Exception) -> str:
    """The kind and the message of an error, with the last line outside this package that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        each for each in frames if not each.filename.startswith(OURS) and "site-packages" not in each.filename
    ]
    where = f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    text = (str(error).strip().splitlines() or [""])[0]
    return f"raised {type(error).__name__}{where}: {text}"
