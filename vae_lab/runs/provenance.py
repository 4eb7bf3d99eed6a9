"""With what a result was obtained, so that a table can warn of a mixture."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from vae_lab.files.paths import ROOT
from vae_lab.runs import sources
from vae_lab.runs.code import Code, name_of

LIBRARIES = ("torch", "pytorch-lightning", "hydra-core", "numpy")
LARGEST_DIFF = 1_000_000  # characters
GIT_SECONDS = 10.0
SOURCES = (".py", ".yaml", ".yml", ".toml")

_remembered: dict[str, Any] = {}


def remember_code() -> None:
    """Keeps what the code is now, for a server that has imported it and runs jobs later."""
    sources.remember_sources("vae_lab")
    installed_packages()
    _remembered.update(code=of_the_code(), diff=_own_diff())


def of_the_code() -> dict[str, Any]:
    """The release and, where the code runs from a clone, the commit and a hash of what differs from it."""
    if "code" in _remembered:
        return dict(_remembered["code"])
    differing = _own_diff()
    return {
        "vae_lab": version("vae-lab"),
        "git_commit": _git(ROOT, "rev-parse", "HEAD") if _is_clone() else None,
        "git_diff": hashlib.sha256(differing.encode()).hexdigest()[:12] if differing else None,
    }


def made_by(code: Code, device: Any) -> dict[str, Any]:
    """The entries of a result that say what made it: its sources, all packages, and what a table compares."""
    return {"provenance": provenance(code, device), "code": code, "packages": installed_packages()}


def provenance(code: Code, device: Any) -> dict[str, Any]:
    """Versions of the code and of the libraries, device and threads.

    Args:
        code: The sources behind the result.
        device: torch's device that the run used.
    """
    import torch  # here, since a sweep asks for the code alone

    return of_the_code() | {
        "code": name_of(code),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
    }


@cache
def installed_packages() -> dict[str, str]:
    """The version of every package that is installed."""
    versions = {str(package.metadata["Name"]): str(package.version) for package in distributions()}
    return dict(sorted(versions.items(), key=lambda pair: pair[0].lower()))


def diff(paths: Iterable[str]) -> str:
    """The difference from the last commit in the clones of the packages that sources belong to.

    Args:
        paths: Of the sources, as `sources.behind` gives them.

    Returns:
        `git diff HEAD` of each clone, with the sources of the packages that git does not know; at most
        `LARGEST_DIFF` characters.
    """
    clones: dict[Path, list[Path]] = {}
    for package in sources.packages(paths):
        folder = package if package.is_dir() else package.parent
        top = ROOT if folder.is_relative_to(ROOT) else _git(folder, "rev-parse", "--show-toplevel")
        if top is not None and (Path(top) / ".git").exists():
            clones.setdefault(Path(top), []).append(package)
    parts = [
        _remembered["diff"] if clone == ROOT and "diff" in _remembered else _diff_of_clone(clone, folders)
        for clone, folders in clones.items()
    ]
    text = "".join(parts)
    if len(text) > LARGEST_DIFF:
        text = f"{text[:LARGEST_DIFF]}\n# cut here: {len(text):,} characters in all\n"
    return text


def _is_clone() -> bool:
    return (ROOT / ".git").exists()


def _own_diff() -> str:
    return _diff_of_clone(ROOT, [ROOT / "vae_lab"]) if _is_clone() else ""


def _diff_of_clone(clone: Path, folders: Sequence[Path]) -> str:
    plain = ("--no-ext-diff", "--no-textconv", "--no-color")
    known = _git(clone, "diff", *plain, "HEAD") or ""
    listed = _git(clone, "ls-files", "-z", "--others", "--exclude-standard", "--", *map(str, folders)) or ""
    new = [name for name in listed.split("\0") if name.endswith(SOURCES)]
    added = [_git(clone, "diff", *plain, "--no-index", "--", os.devnull, name) or "" for name in new[:100]]
    text = "".join(f"{part}\n" for part in (known, *added) if part)
    return f"# {clone.name}\n{text}" if text else ""


def _git(clone: Path, *arguments: str) -> str | None:
    """The output of git in a clone, which stays as it is; None where there is none."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(clone), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    differs = done.returncode == 1 and "--no-index" in arguments
    return done.stdout.strip("\n") if done.returncode == 0 or differs else None
