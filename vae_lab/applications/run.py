"""An application of a trained model, from its settings to its files."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from vae_lab.applications.base import Application, Outcome
from vae_lab.applications.settings import ApplicationSettings
from vae_lab.errors import UserError
from vae_lab.files.ownership import published, written_whole
from vae_lab.files.writing import checksum
from vae_lab.noise import NoiseSource
from vae_lab.runs.code import name_of
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.result import Result
from vae_lab.trained.load import load_trained
from vae_lab.trained.model import TrainedModel


def carry_out(settings: ApplicationSettings, directory: RunDirectory) -> Result:
    """Uses a trained model as the settings say.

    Leaves tables and figures and, last, `metrics.json`.

    Returns:
        The result.

    Raises:
        UserError: If the run cannot serve.
    """
    application, trained = settings.application, load_trained(settings.run)
    if settings.seed is not None:
        trained = trained._replace(parts=replace(trained.parts, noise=NoiseSource(settings.seed)))
    model = TrainedModel(trained, settings.device)
    _check_pixels(application, model)
    try:
        prepared = application.prepare(model)
    except ValueError as error:
        raise UserError(str(error)) from error
    done = {"samples": 0, "total": 0}
    with directory.once(lambda: done) as writing:
        if writing.is_done:
            return writing.result
        code = directory.code(trained.run)
        directory.keep_diff(code)
        with written_whole(directory.path) as folder:
            outcome = _carry_out(application, model, prepared, folder, done)
        entries = _entries(directory, application, model, outcome)
        writing.keep(entries, code, model.device, code_of_run=name_of(trained.result.code))
    result = writing.result
    figures = [directory.path / name for name in published(directory.path) if name.endswith(".png")]
    settings.tracker.log_measured(settings.run, _name(application), result["run"], result.metrics, figures)
    return result


def _carry_out(
    application: Application, model: TrainedModel, prepared: Any, folder: Path, done: dict[str, int]
) -> Outcome:
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=None)

        def show(count: int, total: int) -> None:
            done.update(samples=count, total=total)
            bar.update(task, completed=count, total=total)

        return application(model, prepared, folder, show)


def _check_pixels(application: Application, model: TrainedModel) -> None:
    if application.needs_pixels and not model.model.is_over_pixels:
        raise UserError(
            f"run={model.result['signature']}: {_name(application)} is for models of pixels, and "
            f"{model.model.scorer_name} describes none; use vae-lab evaluate."
        )


def _name(application: Application) -> str:
    return type(application).__name__.lower()


def _entries(
    directory: RunDirectory, application: Application, model: TrainedModel, outcome: Outcome
) -> dict[str, Any]:
    """Entries of the result, with the validation metrics of the run, by which a sweep chooses."""
    of_run = model.result
    validation = {name: value for name, value in of_run["metrics"].items() if name.startswith("validation/")}
    mine = directory.config
    shown = outcome.shown
    return {
        "signature": directory.signature,
        "run": of_run["signature"],
        "estimator": of_run["estimator"],
        "has_density": model.parts.has_density,
        "metric": outcome.metric,
        "metrics": validation | outcome.metrics,
        "shown": None if shown is None else {"columns": list(shown.columns), "rows": list(shown.rows)},
        "notes": outcome.notes,
        **outcome.details,
        "definition": directory.definition,
        "checkpoints": {
            str(path.resolve()): checksum(path) for path in (model.checkpoint, *outcome.checkpoints)
        },
        "config": of_run["config"] | {f"{_name(application)}.{name}": value for name, value in mine.items()},
    }
