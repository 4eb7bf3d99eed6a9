"""The heartbeat of a lease's holder, which ends its process before another may think it dead."""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, NoReturn

from vae_lab.errors import Busy
from vae_lab.runs import lease_file
from vae_lab.runs.lease_file import Progress, clock

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 30.0  # without a beat, after which the holder ends itself
GRACE_SECONDS = 3.0  # for the next beat, which tells whether another has come, after a suspension
LOST = Busy.exit_status

Outcome = Literal["written", "failed", "missing", "lost"]


class Heartbeat:
    """Writes into a lease again and again while its run is done, in a thread.

    A beat that fails, since a server is away or a handle stale, is tried again a second later with the
    file opened anew. The process ends when the lease is another's, and when no beat has been written for
    `SILENCE_SECONDS`, which a second thread watches, since the first may hang in the file system.

    Args:
        path: Of the lease.
        token: With which it was taken.
        progress: Gives what to write.
    """

    def __init__(self, path: Path, token: str, progress: Callable[[], Progress] = dict) -> None:
        self.path = path
        self.token = token
        self.progress = progress
        self.ended = threading.Event()
        self.written_at = clock()
        self._beats = 0
        self._missing = 0
        self._lost = False
        self._ticked_at = clock()
        self._has_grace = True
        self._one_at_a_time = threading.Lock()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._beat_on, self._watch_on)
        ]

    def start(self) -> None:
        """Begins to beat."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends beating; a beat that hangs in the file system is left behind."""
        self.ended.set()
        for thread in self._threads:
            thread.join(SILENCE_SECONDS)

    def verify(self) -> None:
        """Returns once the lease has been seen to be this process's; ends the process if it is not."""
        while self.beat() != "written":
            self.end_if_lost()
            time.sleep(BEAT_SECONDS)

    def beat(self) -> Outcome:
        """Writes once, if the lease is still this one's."""
        with self._one_at_a_time:
            began = clock()
            try:
                outcome = self._write()
            except FileNotFoundError:
                outcome = "missing"
            except OSError:
                outcome = "failed"
            if outcome == "written":
                self.written_at, self._has_grace = began, True
            self._missing = self._missing + 1 if outcome == "missing" else 0
            self._lost = (
                outcome == "lost" or self._missing > 1
            )  # a renaming server shows nothing for a moment
            return outcome

    def tick(self) -> bool:
        """Whether the process must end, since no beat was written for too long while it was running."""
        now = clock()
        if now - self._ticked_at > SILENCE_SECONDS / 2 and self._has_grace:  # it was suspended
            self.written_at = max(self.written_at, now - SILENCE_SECONDS + GRACE_SECONDS)
            self._has_grace = False
        self._ticked_at = now
        return now - self.written_at >= SILENCE_SECONDS

    def end_if_lost(self) -> None:
        """Ends the process if the last beat found that the lease is another's."""
        if self._lost and not self.ended.is_set():
            _end(f"another process has taken over {self.path.parent}")

    def _write(self) -> Outcome:
        newest = max(lease_file.generations(self.path.parent), default=0)
        if newest > lease_file.generation(self.path):
            return "lost"
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            content = lease_file.parse(os.read(descriptor, 2 * lease_file.LENGTH))
            if content is not None and content.token != self.token:
                return "lost"
            try:
                os.pwrite(descriptor, self._content(), 0)
            except OSError:
                os.utime(descriptor)  # a full disk takes no content, but a time
        finally:
            os.close(descriptor)  # which fails if a server has not got the content
        return "written"

    def _content(self) -> bytes:
        self._beats += 1
        try:
            return lease_file.own(self.token, self._beats, self.progress()).content()
        except Exception:  # how far a run is must not end it
            return lease_file.own(self.token, self._beats, {}).content()

    def _beat_on(self) -> None:
        while not self.ended.wait(BEAT_SECONDS):
            self.beat()
            self.end_if_lost()

    def _watch_on(self) -> None:
        while not self.ended.wait(BEAT_SECONDS):
            if self.tick() and not self.ended.is_set():
                _end(f"the lease {self.path} could not be renewed for {SILENCE_SECONDS:.0f} s")


def _end(message: str) -> NoReturn:
    """Ends the process at once; its output may hang in the file system that is away."""

    def say() -> None:
        with suppress(OSError, ValueError):
            print(message, file=sys.stderr, flush=True)

    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(1.0)
    os._exit(LOST)
