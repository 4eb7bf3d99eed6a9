"""What a sweep consists of, in its own directory: `manifest.json`, from which all else about it is read."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vae_lab.errors import UserError, did_you_mean
from vae_lab.files import write_atomically
from vae_lab.orchestration import lease
from vae_lab.orchestration.axes import Axis, Point, Role, short_names
from vae_lab.orchestration.jobs import Job
from vae_lab.orchestration.provenance import of_the_code
from vae_lab.orchestration.run_directory import read_failure

FILE = "manifest.json"
RESULTS = (".csv", ".md", ".parquet", ".png")


class Entry(NamedTuple):
    """One run of a sweep.

    Args:
        point: The label of its value on each axis.
        directory: Where its results go.
    """

    point: dict[str, str]
    directory: Path

    @property
    def label(self) -> str:
        """What distinguishes the run from the others."""
        return " ".join(f"{name}={value}" for name, value in self.point.items()) or self.directory.name

    @property
    def is_done(self) -> bool:
        """Whether its result is there."""
        return (self.directory / "metrics.json").is_file()

    def state(self) -> tuple[str, str]:
        """`done`, `running`, `failed` or `missing`, and the error if it failed."""
        if self.is_done:
            return "done", ""
        if lease.holder(self.directory) is not None:
            return "running", ""
        error = read_failure(self.directory)
        return ("missing", "") if error is None else ("failed", error.splitlines()[-1])


class Manifest(NamedTuple):
    """What a sweep consists of.

    Args:
        name: Of the sweep.
        question: Which it answers.
        command: `train`, `gradients` or `evaluate`.
        figure: Kind of figure, or None.
        metric: What the table and the figure are about; empty for what the runs are judged by.
        roles: The role of each axis, by its short name.
        entries: Its runs.
        code: The code at submission.
    """

    name: str
    question: str
    command: str
    figure: str | None
    metric: str
    roles: dict[str, Role]
    entries: list[Entry]
    code: dict[str, Any]

    def axes(self, role: Role) -> list[str]:
        """The short names of the axes in a role."""
        return [name for name, its in self.roles.items() if its == role]


def write(
    directory: Path,
    settings: Any,
    question: str,
    command: str,
    axes: Sequence[Axis],
    points: Sequence[Point],
    jobs: Sequence[Job],
) -> Manifest:
    """Writes the manifest of a sweep into its directory; tables and figures of other runs there go."""
    names = short_names([axis.key for axis in axes])
    manifest = Manifest(
        name=directory.name,
        question=question,
        command=command,
        figure=_figure(settings["figure"], command),
        metric=settings.get("metric") or "",
        roles={names[axis.key]: axis.role for axis in axes},
        entries=[Entry(point.labels, job.directory) for point, job in zip(points, jobs, strict=True)],
        code=of_the_code(),
    )
    directory.mkdir(parents=True, exist_ok=True)
    entries = [
        entry._asdict() | {"directory": os.path.relpath(entry.directory, directory)}
        for entry in manifest.entries
    ]
    content = manifest._asdict() | {"entries": entries}
    if (directory / FILE).is_file() and json.loads((directory / FILE).read_text())["entries"] != entries:
        for stale in (path for path in directory.glob("*.*") if path.suffix in RESULTS):
            stale.unlink(missing_ok=True)
    write_atomically(directory / FILE, json.dumps(content, indent=1) + "\n")
    return manifest


def _figure(asked: str | None, command: str) -> str | None:
    if asked != "default":
        return asked
    return "gradients" if command == "gradients" else "against"


def read(directory: Path) -> Manifest:
    """Reads the manifest of a sweep, wherever its directory lies now.

    Raises:
        UserError: If the directory is not that of a sweep.
    """
    try:
        content = json.loads((directory / FILE).read_text())
    except FileNotFoundError as error:
        sweeps = directory.parent if directory.parent.is_dir() else Path("outputs/sweeps")
        known = sorted(str(path.parent) for path in sweeps.glob(f"*/{FILE}"))
        raise UserError(
            f"{directory} is not the directory of a sweep{did_you_mean(str(directory), known)}"
        ) from error
    entries = [
        Entry(entry["point"], (directory / entry["directory"]).resolve()) for entry in content["entries"]
    ]
    return Manifest(**(content | {"entries": entries}))


def question(path: Path) -> str:
    """The question with which a sweep's file begins."""
    comments = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")]
    return next((comment for comment in comments if not comment.startswith("@")), "")
