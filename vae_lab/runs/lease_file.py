"""The file of a lease: who holds a run, and what it last wrote."""

import json
import os
import re
import socket
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

PREFIX = ".lease-"
LENGTH = 1024  # bytes of a lease, always the same, so that a reader never sees the rest of an older one
_NAME = re.compile(r"\.lease-([1-9][0-9]{0,17})")  # and nothing else, such as a copy by an editor

Progress = dict[str, Any]


class Holder(NamedTuple):
    """A process that holds a lease, as the file describes it.

    Args:
        host: Name of its machine.
        machine: Boot and process namespace, within which its number means something.
        pid: Its process number.
        started: When that process began, since numbers are used again.
        token: Random, another for each time that a lease is taken.
        beats: How often it has written.
        progress: How far its run is.
    """

    host: str
    machine: str
    pid: int
    started: int
    token: str
    beats: int
    progress: Progress

    @property
    def is_on_this_machine(self) -> bool:
        """Whether its process can be seen from here."""
        return (self.host, self.machine) == (socket.gethostname(), machine())

    def content(self) -> bytes:
        """The content of the file; without the progress if that is too long."""
        for candidate in (self, self._replace(progress={})):
            line = (json.dumps(candidate._asdict()) + "\n").encode().ljust(LENGTH)
            if len(line) == LENGTH:
                break
        return line


class LeaseFile:
    """A lease as it was when it was read.

    Args:
        path: Of the file.
        asked_at: When it was read or, on this process's clock, a little before.
        state: What it held, and when it was written on the clock of the file system; None if it could not be
            read.
        error: Why it could not be read.
    """

    def __init__(
        self, path: Path, asked_at: float, state: tuple[bytes, float] | None, error: OSError | None = None
    ) -> None:
        self.path = path
        self.asked_at = asked_at
        self.state = state
        self.error = error

    @cached_property
    def holder(self) -> Holder | None:
        """Who holds it, or None if the file does not say."""
        return None if self.state is None else parse(self.state[0])


def read_lease(path: Path) -> LeaseFile:
    """Reads a lease; opening it anew shows what other machines have written.

    Raises:
        FileNotFoundError: If it is gone.
    """
    asked_at = clock()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            state = os.read(descriptor, 2 * LENGTH), os.fstat(descriptor).st_mtime
            return LeaseFile(path, asked_at, state)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        return LeaseFile(path, asked_at, None, error)


def leases(directory: Path) -> list[LeaseFile]:
    """The leases in a run's directory, the newest first."""
    present = []
    for generation in sorted(generations(directory), reverse=True):
        with suppress(FileNotFoundError):
            present.append(read_lease(directory / f"{PREFIX}{generation}"))
    return present


def generations(directory: Path) -> list[int]:
    """The numbers of the leases in a run's directory."""
    names = map(_NAME.fullmatch, os.listdir(directory))
    return [int(name[1]) for name in names if name]


def generation(path: Path) -> int:
    """The number of a lease."""
    return int(path.name.removeprefix(PREFIX))


def parse(content: bytes) -> Holder | None:
    """The holder that a file describes, or None if it describes none."""
    try:
        holder = Holder(**json.loads(content))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = (holder.pid, holder.started, holder.beats)
    is_whole = all(type(number) is int and 0 <= number < 2**63 for number in numbers)
    return holder if is_whole and _is_progress(holder.progress) else None


def _is_progress(value: Any) -> bool:
    names = ("samples", "total", "value")
    return isinstance(value, dict) and all(
        isinstance(value.get(name, 0), int | float | None) for name in names
    )


def own(token: str, beats: int, progress: Progress) -> Holder:
    """This process as a holder."""
    pid = os.getpid()
    return Holder(socket.gethostname(), machine(), pid, started(pid), token, beats, progress)


def machine() -> str:
    """The boot and the namespace of process numbers; the host's name where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def started(pid: int) -> int:
    """When a process began, in ticks since the boot; 0 if it is gone or a zombie, 1 where that is unknown."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if state in "ZX" else int(fields[18])
    except OSError:
        if Path("/proc/self/stat").exists():
            return 0
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError) as error:
        return int(isinstance(error, PermissionError))
    return 1


def clock() -> float:
    """Seconds of a clock that nobody sets; it goes on while the machine sleeps where there is such a one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
