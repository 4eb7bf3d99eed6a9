"""Surroundings that a command needs, whatever they are at first: streams that take any text, and a home."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from vae_lab.errors import UserError

MIN_COLUMNS = 20  # in fewer rich shows nothing
NO_HOME = "/nonexistent"  # as passwd has it for users without one


class _Sink(io.FileIO):
    """A file to which writing never fails; `error` is why it did."""

    error: OSError | None = None

    def write(self, data: "memoryview | bytes", /) -> int:  # type: ignore[override]
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return len(data)


_sinks: list[_Sink] = []


def make_usable() -> None:
    """Sees to it that a run does not end since nobody reads, or can read, what it prints.

    Closed streams are opened on nothing, a reader that goes away and characters that the encoding lacks end
    nothing, a table has some room, and a user without a home has one that is not there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is sys.__stdout__ and sys.stderr is sys.__stderr__:  # nobody else has put theirs there
        sys.stdout, sys.stderr = _patient(sys.stdout, 1), _patient(sys.stderr, 2)
    logging.raiseExceptions = False  # of a log on a full disk
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) < MIN_COLUMNS:
        del os.environ["COLUMNS"]
    home = os.path.expanduser("~")  # HOME, or what passwd says
    os.environ["HOME"] = NO_HOME if home == "~" else home


def check_surroundings(arguments: Sequence[str]) -> None:
    """Checks what a command cannot do without.

    Raises:
        UserError: If an argument is no text, or the current folder is gone.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"{ascii(argument)} is no text here; set LC_ALL=C.UTF-8, or rename the file."
            ) from None
    try:
        os.getcwd()
    except OSError:
        raise UserError("the current folder is there no more; cd to one that is.") from None


def what_was_not_printed() -> str | None:
    """The sentence for output that has been lost, unless its reader went away."""
    for sink in _sinks:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        if sink.error is not None and not isinstance(sink.error, BrokenPipeError):
            return f"not all was printed ({sink.error.strerror}); the results are in their files."
    return None


def _patient(stream: TextIO | None, descriptor: int) -> TextIO:
    sink = _Sink(descriptor, "w", closefd=False)
    _sinks.append(sink)
    buffer: Any = io.BufferedWriter(sink)
    is_direct = descriptor == 2 or sink.isatty() or getattr(stream, "write_through", False)
    encoding = "utf-8" if stream is None else stream.encoding
    return io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=is_direct)
