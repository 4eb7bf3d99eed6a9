"""With what a result was obtained, so that a table can warn of a mixture."""

import platform
import subprocess
from importlib.metadata import version
from typing import Any

import torch

from vae_lab.paths import ROOT

LIBRARIES = ("torch", "pytorch-lightning", "hydra-core", "numpy")


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions of the code and of the libraries, device and threads."""
    return {
        "vae_lab": version("vae-lab"),
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
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
