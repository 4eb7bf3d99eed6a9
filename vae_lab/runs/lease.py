"""The lease of a run: who does it now, how far it is, and how another takes it over from the dead.

A lease is a file `.lease-<generation>` in the run's directory. Taking one means creating the file of the next
generation, which the file system lets one process do alone, also over a network; so a dead holder is
succeeded by exactly one. The holder writes its progress into the file every second. It is dead if its
process is gone, where that can be seen, and elsewhere if the file has not changed for a minute, measured by
who waits for it: no two clocks are compared. A holder ends itself when it finds a higher generation, and when
it could not write for half a minute, so before another may take its run. To look at a lease nothing is
written.
"""

import errno
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from vae_lab.errors import Busy, UserError
from vae_lab.runs import lease_file
from vae_lab.runs.heartbeat import BEAT_SECONDS, LOST, Heartbeat
from vae_lab.runs.lease_file import PREFIX, Holder, LeaseFile, Progress, clock, leases

__all__ = [
    "LOST",
    "TEMPORARY_PREFIXES",
    "PREFIX",
    "Holder",
    "Progress",
    "hold",
    "holder",
    "verify",
    "wait_for_lease",
]

EXPIRY_SECONDS = 60.0
TEMPORARY_PREFIXES = (".draft-",)  # files of a moment, of processes that take a lease
WITHOUT_LINKS = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

Verdict = Literal["alive", "dead", "unsure"]


class Watch:
    """Judges leases by whether they change while they are looked at.

    Args:
        first_by_age: Whether a file that is old when it is first seen is dead at once: for those who look on,
            since two clocks may differ.
    """

    def __init__(self, first_by_age: bool = False) -> None:
        self.first_by_age = first_by_age
        self._seen: dict[Path, tuple[tuple[bytes, float], float]] = {}

    def judge(self, lease: LeaseFile) -> Verdict:
        """How it is with the holder of a lease; `unsure` until it has been watched for long enough."""
        owner = lease.holder
        if owner is not None and owner.is_on_this_machine:
            return "alive" if _is_alive(owner) else "dead"
        if lease.state is None:
            return "unsure"
        before, since = self._seen.get(lease.path, (None, 0.0))
        if lease.state == before:
            return "dead" if lease.asked_at - since >= EXPIRY_SECONDS else "unsure"
        is_new = before is None
        age = time.time() - lease.state[1] if self.first_by_age and is_new else 0.0
        self._seen[lease.path] = lease.state, clock() - max(age, 0.0)
        if age >= EXPIRY_SECONDS:
            return "dead"
        return "unsure" if is_new else "alive"


_looks = Watch(first_by_age=True)
_held: dict[str, Heartbeat] = {}  # the leases of this process, by their tokens


def holder(directory: Path) -> Holder | None:
    """The living holder of a run's lease as far as one can see at a glance, or None."""
    with suppress(OSError):
        for lease in leases(directory):
            if lease.holder is not None and _looks.judge(lease) != "dead":
                return lease.holder
    return None


@contextmanager
def hold(directory: Path, progress: Callable[[], Progress] = dict) -> Iterator[None]:
    """Holds the lease of a run while the body runs.

    Args:
        directory: The run's directory.
        progress: What to write into the lease with each beat; called in a thread.

    Raises:
        Busy: If a living process holds it.
        UserError: If it cannot be known whether one does.
    """
    heartbeat = _take(directory, progress)
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()
        _leave(heartbeat)


def verify(directory: Path) -> None:
    """Ends this process if it held the lease of a run and has lost it; before what must not be done twice."""
    for heartbeat in list(_held.values()):
        if heartbeat.path.parent == directory:
            heartbeat.verify()


def wait_for_lease(directory: Path, seconds: float = 1.0) -> None:
    """Waits until nobody living holds the lease."""
    while holder(directory) is not None:
        time.sleep(seconds)


def _take(directory: Path, progress: Callable[[], Progress] = dict) -> Heartbeat:
    watch, until, has_said = Watch(), clock() + 2 * EXPIRY_SECONDS, False
    while (seen := _dead(directory, watch)) is None:
        if clock() > until:
            raise _unreadable(directory)
        if not has_said and clock() > until - 2 * EXPIRY_SECONDS + 3 * BEAT_SECONDS:
            has_said = True
            print(
                f"waiting up to {EXPIRY_SECONDS:.0f} s to see whether another machine does {directory}",
                file=sys.stderr,
            )
        time.sleep(BEAT_SECONDS / 2)
    return _succeed(directory, seen, progress)


def _dead(directory: Path, watch: Watch) -> list[LeaseFile] | None:
    """The leases that dead holders have left; None while there is one of which that is not known.

    Raises:
        Busy: If one of the holders is alive.
        UserError: If a folder has the name of a lease.
    """
    seen = leases(directory)
    if any(isinstance(lease.error, IsADirectoryError) for lease in seen):
        raise _unreadable(directory)
    verdicts = [watch.judge(lease) for lease in seen]
    if "alive" in verdicts:
        raise _busy(directory, seen[verdicts.index("alive")].holder)
    return None if "unsure" in verdicts else seen


def _succeed(directory: Path, seen: Sequence[LeaseFile], progress: Callable[[], Progress]) -> Heartbeat:
    """Takes the lease of the next generation, unless anything has happened since the others were seen."""
    generation = 1 + max((lease_file.generation(lease.path) for lease in seen), default=0)
    heartbeat = Heartbeat(directory / f"{PREFIX}{generation}", secrets.token_hex(16), progress)
    _held[heartbeat.token] = heartbeat
    is_taken = False
    try:
        is_taken = _create(heartbeat) and _is_as_seen(directory, seen, heartbeat)
    finally:
        if not is_taken:
            _leave(heartbeat)
    if not is_taken:
        raise _busy(directory, holder(directory))
    for path in [*(lease.path for lease in seen), *directory.glob(f"{TEMPORARY_PREFIXES[0]}*")]:
        with suppress(OSError):
            path.unlink()
    return heartbeat


def _is_as_seen(directory: Path, seen: Sequence[LeaseFile], mine: Heartbeat) -> bool:
    """Whether nobody came in between, who would think the same of us, and nobody came back to life."""
    now = {lease.path: lease.state for lease in leases(directory) if lease.path != mine.path}
    return now.items() <= {lease.path: lease.state for lease in seen}.items()


def _create(heartbeat: Heartbeat) -> bool:
    """Creates the file with its content at once, unless it exists; tells whether it did."""
    path, content = heartbeat.path, lease_file.own(heartbeat.token, 0, {}).content()
    draft = path.with_name(f"{TEMPORARY_PREFIXES[0]}{socket.gethostname()}-{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.link(draft, path)
        return True
    except FileNotFoundError:  # the draft was cleared away by one who has taken the lease
        return False
    except OSError as error:
        if error.errno in WITHOUT_LINKS:
            return _create_without_links(path, content)
        if _is_mine(heartbeat):  # a server that answers late has made the link, then finds it there
            return True
        if isinstance(error, FileExistsError):
            return False
        raise
    finally:
        with suppress(OSError):
            draft.unlink()


def _create_without_links(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
        return True
    except FileExistsError:
        return False


def _leave(heartbeat: Heartbeat) -> None:
    """Removes a lease; one that cannot be removed is known to be dead, as its token is forgotten."""
    with suppress(OSError):
        if _is_mine(heartbeat):
            heartbeat.path.unlink()
    _held.pop(heartbeat.token, None)


def _is_mine(heartbeat: Heartbeat) -> bool:
    """Whether a lease is this one: its number is used again when it has been left."""
    with suppress(FileNotFoundError):
        current = lease_file.read_lease(heartbeat.path).holder
        return current is not None and current.token == heartbeat.token
    return False


def _is_alive(owner: Holder) -> bool:
    if owner.pid == os.getpid() and owner.token not in _held:
        return False
    return owner.started == lease_file.started(owner.pid) != 0


def _busy(directory: Path, owner: Holder | None) -> Busy:
    who = f"process {owner.pid} on {owner.host}" if owner else "another process"
    return Busy(f"{directory} is being run by {who}; wait for it, or end it first.")


def _unreadable(directory: Path) -> UserError:
    """For a lease that has not let itself be read."""
    bad = [lease for lease in leases(directory) if lease.error is not None]
    fault = f"{bad[0].path} cannot be read ({bad[0].error})" if bad else f"{directory} changes without end"
    return UserError(f"{fault}; remove the lease if nobody does this run.")
