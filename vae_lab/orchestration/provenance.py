"""With what a result was obtained, so that a table can warn of a mixture."""

import platform
import subprocess
from importlib.metadata import version
from typing import Any

from vae_lab.paths import ROOT

LIBRARIES = ("torch", "pytorch-lightning", "hydra-core", "numpy")


def of_the_code() -> dict[str, Any]:
    """Version of the code: the release, and the commit where it runs from a clone."""
    return {
        "vae_lab": version("vae-lab"),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
    }


def provenance(device: Any) -> dict[str, Any]:
    """Versions of the code and of the libraries, device and threads.

    Args:
        device: torch's device that the run used.
    """
    import torch  # here, since a sweep asks for the code alone

    return of_the_code() | {
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }


def _git(*arguments: str) -> str | None:
    """What git says of the clone that the code runs from, or None outside of one."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
