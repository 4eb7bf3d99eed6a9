"""The points of a sweep that goes over finished runs."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from vae_lab.config.overrides import quoted
from vae_lab.errors import UserError
from vae_lab.runs.find import find_run
from vae_lab.runs.result import result_of
from vae_lab.sweep import manifest
from vae_lab.sweep.axes import Axis, Point


def over_runs(
    runs: Any,
    output_dir: str,
    axes: Sequence[Axis],
    points: Sequence[Point],
    needs_density: Callable[[], bool],
) -> tuple[list[Axis], list[Point]]:
    """Every finished run at every point: the axes of the sweep that made them, then the others.

    An axis of named values that both have is one: a point goes with the runs of its value. Of other axes of
    one name that of the runs gets another.

    Args:
        runs: The name or the directory of a sweep, or a list of runs.
        output_dir: Where both lie.
        axes: What else varies.
        points: The combinations of its values.
        needs_density: Tells whether autoencoders, which have no p(x), are left out; asked if there are any.

    Raises:
        UserError: If there is no such sweep or run, or no run is finished.
    """
    is_list = not isinstance(runs, str) and isinstance(runs, Sequence)
    names, chosen = _of_list(runs, output_dir) if is_list else _of_sweep(str(runs), output_dir, needs_density)
    named = {axis.key for axis in axes if not _is_plain(axis)}
    others = set(points[0].labels) - named
    names = [axis._replace(key=_apart(axis.key, others)) for axis in names]
    chosen = [
        run._replace(labels={_apart(name, others): label for name, label in run.labels.items()})
        for run in chosen
    ]
    own = {axis.key for axis in names}
    every = [
        Point(run.labels | point.labels, [*run.overrides, *point.overrides])
        for run in chosen
        for point in points
        if all(run.labels.get(name, value) == value for name, value in point.labels.items())
    ]
    if not every:
        raise UserError(f"runs={runs}: none of its runs has a value that is asked for on the axes it shares.")
    return [*names, *(axis for axis in axes if axis.key not in own)], every


def _is_plain(axis: Axis) -> bool:
    """Whether its values are those of one key, without names of their own."""
    return all(words == [f"{axis.key}={label}"] for label, words in axis.values.items())


def _apart(name: str, others: Collection[str]) -> str:
    """The name of an axis of the runs, distinct from an axis of the command on them."""
    return f"run_{name}" if name in others else name


def _of_sweep(
    sweep: str, output_dir: str, needs_density: Callable[[], bool]
) -> tuple[list[Axis], list[Point]]:
    directory = Path(sweep) if Path(sweep).is_dir() else Path(output_dir, "sweeps", sweep)
    made = manifest.read_manifest(directory)
    if made.command != "train":
        raise UserError(f"runs={sweep} is a sweep of vae-lab {made.command}, which trains no models.")
    done = [entry for entry in made.entries if entry.is_done]
    if not done:
        raise UserError(f"runs={sweep}: none of its {len(made.entries)} runs is done.")
    for entry in made.entries:
        if entry.is_damaged:
            print(f"note: {entry.label} is left out: {entry.state()[1]}.")
    if len(done) < len(made.entries):
        print(f"note: {len(done)} of the {len(made.entries)} runs of {made.name} are done, and are measured.")
    models = [entry for entry in done if result_of(entry.directory).has_density]
    if len(models) < len(done) and not needs_density():
        models = done
    if not models:
        raise UserError(f"runs={sweep} are autoencoders, which have no p(x) to measure.")
    if len(models) < len(done):
        print(f"note: {len(done) - len(models)} are autoencoders, which have no p(x), and are left out.")
    axes = [Axis(name, role, {}) for name, role in made.roles.items()]
    return axes, [Point(entry.point, [_run(entry.directory, output_dir)]) for entry in models]


def _of_list(runs: Sequence[str], output_dir: str) -> tuple[list[Axis], list[Point]]:
    if not runs:
        raise UserError("runs must name a sweep or hold runs, got [].")
    paths = [find_run(str(run), output_dir) for run in runs]
    return (
        [Axis("run", "scientific", {})],
        [Point({"run": str(run)}, [_run(path, output_dir)]) for run, path in zip(runs, paths, strict=True)],
    )


def _run(directory: Path, output_dir: str) -> str:
    """The override that names a run: by its signature where it lies among the others."""
    among_others = directory.resolve().parent == Path(output_dir, "runs").resolve()
    return (
        f"run={quoted(directory.name if among_others else str(directory))}"  # 59e074444826 reads as a number
    )
