"""The lease of a run: who does it now, how far it is, and how another takes it over from the dead.

A lease is a file `.lease-<generation>` in the run's directory. Taking one means creating the file of the next
generation, which the file system lets one process do alone, also over a network; so a dead holder is
succeeded by exactly one. The holder writes its progress into the file every second. It is dead if its
process is gone, where that can be seen, and elsewhere if the file has not been written for a minute of the
file system's own clock. A holder that finds a higher generation was taken for dead, and ends itself.
"""

import errno
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from vae_lab.errors import Busy

BEAT_SECONDS = 1.0
EXPIRY_SECONDS = 60.0
LOST = 75  # exit status of a holder that was taken for dead: the run goes on elsewhere
PREFIX = ".lease-"
PASSING = (".clock-", ".draft-")  # files of a moment, of processes that look at a lease
WITHOUT_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

Progress = dict[str, Any]


class Holder(NamedTuple):
    """What a lease says of the process that holds it.

    Args:
        host: Name of its machine.
        machine: Boot and process namespace, within which its number means something.
        pid: Its process number.
        started: When that process began, since numbers are used again.
        progress: What it last wrote.
    """

    host: str
    machine: str
    pid: int
    started: int
    progress: Progress


def holder(directory: Path) -> Holder | None:
    """The living holder of a run's lease, or None."""
    leases = _leases(directory)
    return next((one for path, one in leases if one and _is_alive(path, one)), None)


@contextmanager
def hold(directory: Path, progress: Callable[[], Progress] = dict) -> Iterator[None]:
    """Holds the lease of a run while the body runs.

    Args:
        directory: The run's directory.
        progress: What to write into the lease with each beat; called in a thread.

    Raises:
        Busy: If a living process holds it.
    """
    path = _take(directory)
    ended = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, progress, ended), daemon=True)
    beat.start()
    try:
        yield
    finally:
        ended.set()
        beat.join()
        if _is_mine(path):
            path.unlink(missing_ok=True)


def wait(directory: Path, seconds: float = 1.0) -> None:
    """Waits until nobody living holds the lease."""
    while holder(directory) is not None:
        time.sleep(seconds)


def _take(directory: Path) -> Path:
    seen = _leases(directory)
    for path, one in seen:
        if _is_alive(path, one):
            raise _busy(directory, one)
    generation = 1 + max((_generation(path) for path, _ in seen), default=0)
    mine = directory / f"{PREFIX}{generation}"
    if not _create(mine):
        raise _busy(directory, holder(directory))
    others = {path for path, _ in _leases(directory)} - {path for path, _ in seen} - {mine}
    if others:  # somebody came in between, who thinks the same of us
        mine.unlink(missing_ok=True)
        raise _busy(directory, holder(directory))
    for path, _ in seen:
        path.unlink(missing_ok=True)
    return mine


def _create(path: Path) -> bool:
    """Creates the file with its content at once, unless it exists; tells whether it did."""
    draft = path.with_name(f".draft-{socket.gethostname()}-{os.getpid()}")
    try:
        draft.write_bytes(_content({}))
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        return _create_without_links(path)
    finally:
        draft.unlink(missing_ok=True)


def _create_without_links(path: Path) -> bool:
    try:
        with path.open("xb") as file:
            file.write(_content({}))
        return True
    except FileExistsError:
        return False


def _beat(path: Path, progress: Callable[[], Progress], ended: threading.Event) -> None:
    while not ended.wait(BEAT_SECONDS):
        newest = max((_generation(other) for other, _ in _leases(path.parent)), default=0)
        if newest != _generation(path) or not _is_mine(path):
            if ended.is_set():
                return
            print(f"another process has taken over {path.parent}", file=sys.stderr, flush=True)
            os._exit(LOST)
        try:
            descriptor = os.open(path, os.O_WRONLY)
            os.pwrite(descriptor, _content(progress()), 0)
            os.close(descriptor)
        except OSError:  # a full disk, say: the file's age tells the others
            continue


def _is_mine(path: Path) -> bool:
    """Whether a lease is still this process's: its number is used again when it has been left."""
    try:
        one = Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return path.exists()
    return (one.machine, one.pid, one.started) == (_machine(), os.getpid(), _started(os.getpid()))


def _content(progress: Progress) -> bytes:
    """One line of a fixed length, so that a reader never sees the rest of an older one."""
    own = Holder(socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()), progress)
    return (json.dumps(own._asdict()) + "\n").encode().ljust(1024)


def _leases(directory: Path) -> list[tuple[Path, Holder | None]]:
    """The lease files with their holders, the newest first; None for one that cannot be read just now."""
    found: list[tuple[Path, Holder | None]] = []
    for path in directory.glob(f"{PREFIX}*"):
        try:
            found.append((path, Holder(**json.loads(path.read_text()))))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError):
            found.append((path, None))
    return sorted(found, key=lambda pair: -_generation(pair[0]))


def _generation(path: Path) -> int:
    return int(path.name.removeprefix(PREFIX))


def _is_alive(path: Path, one: Holder | None) -> bool:
    if one and one.machine == _machine():
        return one.started == _started(one.pid) != 0
    probe = path.with_name(f".clock-{socket.gethostname()}-{os.getpid()}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime < EXPIRY_SECONDS
    except FileNotFoundError:
        return False
    finally:
        probe.unlink(missing_ok=True)


def _machine() -> str:
    """The boot and the namespace of process numbers; the host's name where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int:
    """When a process began, in ticks since the boot; 0 if it is gone or a zombie, 1 where that is unknown."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if state in "ZX" else int(fields[18])
    except OSError:
        if Path("/proc/self/stat").exists():
            return 0
    try:
        os.kill(pid, 0)
    except OSError as error:
        return int(isinstance(error, PermissionError))
    return 1


def _busy(directory: Path, one: Holder | None) -> Busy:
    who = f"process {one.pid} on {one.host}" if one else "another process"
    return Busy(f"{directory} is being run by {who}; wait for it, or end it first.")
