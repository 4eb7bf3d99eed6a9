"""Ends a process together with the one that started it; imports nothing that takes time."""

import ctypes
import os
import signal
from contextlib import suppress

PARENT = "VAE_LAB_PARENT"  # in the environment of a server: the number of the process that starts it


def die_with_parent(parent: int | None = None) -> None:
    """Asks Linux to kill this process when its parent ends.

    Args:
        parent: The number of the parent, which may have ended before this was called.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
