"""The one message for all the ways in which libraries say that something is too large."""

import re

AMOUNT = re.compile(r"(?:[Tt]ried to|Unable to) allocate ([\d.]+) ?(bytes|[KMGTPE]iB)")
WITHOUT_AMOUNT = re.compile(
    "Overflow when unpacking|Storage size calculation overflowed|int too large to convert|out of memory"
)
ALLOCATION_ERRORS = (RuntimeError, TypeError, ValueError, OverflowError, MemoryError)
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}


def too_large(error: BaseException | None) -> str | None:
    """The message, if the error or one that led to it is about size; else None.

    Example:
        >>> too_large(RuntimeError("can't allocate memory: you tried to allocate 1024000000000 bytes."))
        'the memory does not suffice: 1,024.0 GB are asked for at once; make model, batch or data smaller.'
    """
    while error is not None:
        if isinstance(error, ALLOCATION_ERRORS):
            amount = AMOUNT.search(str(error))
            if amount or isinstance(error, MemoryError) or WITHOUT_AMOUNT.search(str(error)):
                asked = f": {_gigabytes(*amount.groups())} GB are asked for at once" if amount else ""
                return f"the memory does not suffice{asked}; make model, batch or data smaller."
        error = error.__cause__
    return None


def _gigabytes(amount: str, unit: str) -> str:
    return f"{float(amount) * UNITS[unit] / 1e9:,.1f}"
