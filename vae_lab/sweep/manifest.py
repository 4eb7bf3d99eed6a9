"""The manifest of a sweep, `manifest.json` in its own directory, from which all else about it is read."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vae_lab.errors import UserError, did_you_mean
from vae_lab.files import ownership
from vae_lab.files.writing import write_atomically
from vae_lab.runs.provenance import of_the_code
from vae_lab.runs.result import is_finished
from vae_lab.runs.signature import FORMAT, Flat
from vae_lab.runs.state import state_of
from vae_lab.sweep.axes import Axis, Point, Role, short_names
from vae_lab.sweep.jobs import Job

FILE = "manifest.json"
KEY = "sweep.name"
REWRITTEN_FILES = (  # what they wrote anew whenever they drew
    "runs.parquet", "table.csv", "table.md", "figure.png", "gradients.csv", "variance.png",
    "variance_at_equal_cost.png", "curves.csv", "comparison.csv", "comparison.md", "crossings.csv",
    "crossings.md", "variances.csv", "slopes.csv",
)  # fmt: skip


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
        """The values of the axes that distinguish the run from the others."""
        return " ".join(f"{name}={value}" for name, value in self.point.items()) or self.directory.name

    @property
    def is_done(self) -> bool:
        """Whether its result is there."""
        return is_finished(self.directory)

    @property
    def is_damaged(self) -> bool:
        """Whether its result is there and cannot be read."""
        return (self.directory / "metrics.json").is_file() and not self.is_done

    def state(self) -> tuple[str, str]:
        """`done`, `running`, `failed` or `missing`, and the error if it failed."""
        return state_of(self.directory)


class Manifest(NamedTuple):
    """The runs and the question of a sweep.

    Args:
        name: Of the sweep.
        question: Which it answers.
        command: `train`, `gradients` or `evaluate`.
        figure: Kind of figure, or None.
        metric: What the table and the figure are about; empty for what the runs are judged by.
        roles: The role of each axis, by its short name.
        entries: Its runs.
        code: The code at submission.
        keys: What the command line calls each axis, by its short name.
        base: What defines the runs apart from their axes; None where that is unknown.
    """

    name: str
    question: str
    command: str
    figure: str | None
    metric: str
    roles: dict[str, Role]
    entries: list[Entry]
    code: dict[str, Any]
    keys: dict[str, str] = {}
    base: Flat | None = None

    def axes(self, role: Role) -> list[str]:
        """The short names of the axes in a role."""
        return [name for name, its in self.roles.items() if its == role]


def asked(
    directory: Path,
    settings: Any,
    question: str,
    command: str,
    axes: Sequence[Axis],
    points: Sequence[Point],
    jobs: Sequence[Job],
    base: Flat | None,
) -> Manifest:
    """The manifest of what is asked for, whatever the sweep has already."""
    names = short_names([axis.key for axis in axes])
    return Manifest(
        name=directory.name,
        question=question,
        command=command,
        figure=_figure(settings["figure"], command),
        metric=settings.get("metric") or "",
        roles={names[axis.key]: axis.role for axis in axes},
        entries=[
            Entry(point.labels, job.directory.resolve()) for point, job in zip(points, jobs, strict=True)
        ],
        code=of_the_code(),
        keys={names[axis.key]: axis.key for axis in axes},
        base=base,
    )


def known(directory: Path) -> Manifest | None:
    """The manifest of a sweep that is there, or None; `check_sweep_folder` tells what else may be.

    Raises:
        UserError: If it is damaged.
    """
    return read_manifest(directory) if (directory / FILE).is_file() else None


def grown(before: Manifest | None, by: Manifest) -> Manifest:
    """The union of a sweep's manifest and another that is asked for.

    Raises:
        UserError: If both are not of one table.
    """
    if before is None:
        return by
    if before.base is not None and before.base.get("format", FORMAT) != FORMAT:
        raise UserError(
            f"sweep {by.name} is of an earlier version: status, figures and runs={by.name} read it, but the "
            "sweep cannot grow. Choose another sweep.name, or add sweep.anew=true to make its runs again "
            "beside the present ones, which are kept."
        )
    if (difference := _difference(before, by)) is not None:
        key, there, here = difference
        raise UserError(
            f"sweep {by.name} cannot grow by this: {key} is {there} in it and {here} here. Choose another "
            "sweep.name, or add sweep.anew=true to leave the present runs out of its table."
        )
    there = {entry.directory for entry in before.entries}
    entries = [*before.entries, *(entry for entry in by.entries if entry.directory not in there)]
    order = {name: _order(name, before.entries, entries) for name in by.roles}
    entries.sort(key=lambda entry: [order[name].index(entry.point[name]) for name in by.roles])
    return by._replace(entries=entries)


def _difference(before: Manifest, by: Manifest) -> tuple[str, Any, Any] | None:
    """The first thing in which two sweeps are not of one table, there and here."""
    for field in ("command", "metric"):
        if getattr(before, field) != getattr(by, field):
            return f"sweep.{field}", getattr(before, field) or "the bound", getattr(by, field) or "the bound"
    if before.roles != by.roles:
        there, here = (", ".join(manifest.roles) or "nothing" for manifest in (before, by))
        return "what varies", there, here
    if before.base is not None and by.base is not None:
        for key in sorted(before.base.keys() | by.base.keys()):
            if before.base.get(key) != by.base.get(key):
                return key, before.base.get(key), by.base.get(key)
    runs = {tuple(entry.point.items()): entry.directory for entry in before.entries}
    directories = set(runs.values())
    for entry in by.entries:
        other = runs.get(tuple((name, entry.point[name]) for name in before.roles), entry.directory)
        if other != entry.directory and entry.directory not in directories:
            return entry.label or "the run", f"run {other.name}", f"run {entry.directory.name}"
    return None


def _order(name: str, before: Sequence[Entry], entries: Sequence[Entry]) -> list[str]:
    """The values of an axis: as they were and then as they came, or by size where they were so."""
    old, values = ([*dict.fromkeys(entry.point[name] for entry in some)] for some in (before, entries))
    with suppress(ValueError):
        if sorted(old, key=float) == old:
            return sorted(values, key=float)
    return values


def check_sweep_folder(directory: Path) -> None:
    """Checks that a sweep may leave its table there; writes nothing.

    Raises:
        UserError: If the directory holds anything but this sweep.
    """
    if ownership.mark_of(directory) is not None or known(directory) is None:
        ownership.check_folder(directory, "sweep", KEY)


def claim_sweep_folder(directory: Path) -> None:
    """Makes and marks the directory of a sweep; one of an earlier version is marked.

    Raises:
        UserError: If it holds anything but this sweep.
    """
    if ownership.mark_of(directory) is None and known(directory) is not None:
        ownership.adopt(directory, "sweep", [name for name in REWRITTEN_FILES if (directory / name).exists()])
    else:
        ownership.claim_folder(directory, "sweep", KEY)


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes the manifest of a sweep into its directory, unless it is there."""
    claim_sweep_folder(directory)
    entries = [
        entry._asdict() | {"directory": os.path.relpath(entry.directory, directory.resolve())}
        for entry in manifest.entries
    ]
    content = manifest._asdict() | {"entries": entries}
    with suppress(OSError, ValueError, AttributeError):
        there = json.loads((directory / FILE).read_bytes())
        if there == json.loads(json.dumps(content | {"code": there.get("code")})):
            return
    write_atomically(directory / FILE, json.dumps(content, indent=1) + "\n")


def _figure(asked: str | None, command: str) -> str | None:
    if asked != "default":
        return asked
    return "gradients" if command == "gradients" else "against"


def directory_of(sweep: str) -> Path:
    """The directory of a sweep, given by itself or by its name below `outputs/`, where that is here."""
    given, named = Path(sweep), Path("outputs", "sweeps", sweep)
    if os.path.isfile(given / FILE) or (os.path.isdir(given) and not os.path.isfile(named / FILE)):
        return given
    return named


def read_manifest(directory: Path) -> Manifest:
    """Reads the manifest of a sweep, wherever its directory lies now.

    Raises:
        UserError: If the directory is not that of a sweep.
    """
    try:
        content = json.loads((directory / FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        sweeps = directory.parent if directory.parent.is_dir() else Path("outputs/sweeps")
        known = sorted(str(path.parent) for path in sweeps.glob(f"*/{FILE}"))
        raise UserError(
            f"{directory} is not the directory of a sweep{did_you_mean(str(directory), known)}"
        ) from error
    except OSError as error:
        raise UserError(f"{directory / FILE} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError):
        content = None
    try:
        entries = [
            Entry(entry["point"], (directory / entry["directory"]).resolve()) for entry in content["entries"]
        ]
        made = Manifest(**(content | {"entries": entries}))
        return check_type(made, Manifest, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except (TypeError, ValueError, LookupError, TypeCheckError) as error:
        raise UserError(
            f"{directory / FILE} is damaged; move {directory} away and give the sweep's command again, which "
            "finds the runs that are done."
        ) from error


def question(path: Path) -> str:
    """The question with which a sweep's file begins."""
    comments = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")]
    return next((comment for comment in comments if not comment.startswith("@")), "")
