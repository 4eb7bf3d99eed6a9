"""The name of a sweep, which is that of its folder in `outputs/sweeps/`."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vae_lab.errors import UserError
from vae_lab.sweep.jobs import Job

LONGEST = 120  # bytes


def checked(name: str) -> str:
    """The name, if it is that of one folder.

    Raises:
        UserError: If it leads elsewhere, is hidden, or cannot be a folder's name.
    """
    plain = name.isprintable() and name == name.strip() and not set(name) & set("/\\")
    if name in ("", "???") or not plain or name[0] in ".-~" or len(name.encode()) > LONGEST:
        raise UserError(
            f"sweep.name must be one plain folder name of at most {LONGEST} bytes, such as "
            f"sweep.name=mine, got {name!r}."
        )
    return name


def derived(axes: Sequence[str], jobs: Sequence[Job]) -> str:
    """The name of a sweep without a file: what varies, and a hash of its runs."""
    digest = hashlib.sha256(" ".join(sorted(job.signature for job in jobs)).encode()).hexdigest()[:6]
    varies = re.sub(r"[^\w-]+", "_", "-".join(axes), flags=re.ASCII).lstrip("-")
    return "-".join(filter(None, [varies[:80], digest]))


def over(runs: Any, command: str) -> str | None:
    """The name of what goes over a sweep; None over a list, which goes by its runs."""
    return f"{Path(runs).resolve().name}-{command}" if isinstance(runs, str) else None
