"""One use of a trained model, from its configuration to its files."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress

from vae_lab.applications.base import Outcome, Use
from vae_lab.config.instantiate import instantiate, parameters_of
from vae_lab.config.schema import OfRunConfig
from vae_lab.errors import UserError
from vae_lab.files.ownership import published, written_whole
from vae_lab.files.writing import checksum
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.noise import NoiseSource
from vae_lab.runs.code import code_of, name_of
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.find import find
from vae_lab.runs.result import Result, result_of
from vae_lab.tracking import Tracking
from vae_lab.trained.load import load
from vae_lab.trained.model import TrainedModel
from vae_lab.training.build import check_root


class Plan(NamedTuple):
    """What a use of a trained model is made of."""

    use: Use
    run: Path
    tracker: Any


def plan(cfg: DictConfig) -> Plan:
    """Checks what can be before the run is loaded; writes nothing.

    Raises:
        UserError: If the configuration is wrong, or the run is not finished.
    """
    use = _use(cfg)
    if cfg.run is None:
        raise UserError(
            "run must be given, the directory or the signature of a finished run; or runs=<a sweep>."
        )
    run = find(cfg.run, cfg.output_dir)
    definition = result_of(run).definition
    if "dataset._target_" not in definition or "run" in definition:
        raise UserError(f"run={cfg.run} is no training, but was made of one.")
    return Plan(use, run, instantiate(cfg.logger, "logger", Tracking))


def carry_out(cfg: DictConfig, directory: RunDirectory) -> Result:
    """Uses a trained model as the configuration says.

    Leaves tables and figures and, last, `metrics.json`.

    Returns:
        The result.

    Raises:
        UserError: If the configuration or the run cannot serve.
    """
    planned = plan(cfg)
    trained = load(planned.run)
    if cfg.seed is not None:
        trained = trained._replace(parts=replace(trained.parts, noise=NoiseSource(cfg.seed)))
    model = TrainedModel(trained, _device(cfg))
    _check_pixels(planned.use, model)
    try:
        prepared = planned.use.prepare(model)
    except ValueError as error:
        raise UserError(str(error)) from error
    done = {"samples": 0, "total": 0}
    with directory.once(lambda: done) as writing:
        if writing.is_done:
            return writing.result
        code = code_of(cfg, trained.cfg)
        directory.keep_diff(code)
        with written_whole(directory.path) as folder:
            outcome = _carry_out(planned.use, model, prepared, folder, done)
        entries = _entries(directory, planned.use, model, outcome)
        writing.keep(entries, code, model.device, code_of_run=name_of(trained.result.code))
    result = writing.result
    figures = [directory.path / name for name in published(directory.path) if name.endswith(".png")]
    planned.tracker.log_measured(planned.run, _name(planned.use), result["run"], result.metrics, figures)
    return result


def _carry_out(use: Use, model: TrainedModel, prepared: Any, folder: Path, done: dict[str, int]) -> Outcome:
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("", total=None)

        def show(number: int, total: int) -> None:
            done.update(samples=number, total=total)
            bar.update(task, completed=number, total=total)

        return use(model, prepared, folder, show)


def _check_pixels(use: Use, model: TrainedModel) -> None:
    likelihood = getattr(model.model, "likelihood", None)
    if not isinstance(likelihood, Likelihood) or not use.needs_pixels:
        return
    if not likelihood.describes_pixels:
        raise UserError(
            f"run={model.result['signature']}: {_name(use)} is for models of pixels, and "
            f"{type(likelihood).__name__} describes none; use vae-lab evaluate."
        )


def _use(cfg: DictConfig) -> Use:
    """What the root keys describe, each checked."""
    own = parameters_of(cfg, "")
    check_root(cfg, OfRunConfig, "_target_", *own)
    if cfg.trainer.accelerator not in ("cpu", "gpu"):
        raise UserError(f"trainer.accelerator must be cpu or gpu, got {cfg.trainer.accelerator!r}.")
    for name in ("devices", "num_nodes"):
        if cfg.trainer[name] != 1:
            raise UserError(
                f"trainer.{name} must be 1, as one process uses a trained model, got {cfg.trainer[name]!r}."
            )
    use: Use = instantiate(
        OmegaConf.masked_copy(cfg, ["_target_", *(name for name in own if name in cfg)]), "", Use
    )
    return use


def _device(cfg: DictConfig) -> torch.device:
    if cfg.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("trainer.accelerator=gpu: there is no GPU here; use cpu.")
    return torch.device("cuda" if cfg.trainer.accelerator == "gpu" else "cpu")


def _name(use: Use) -> str:
    return type(use).__name__.lower()


def _entries(directory: RunDirectory, use: Use, model: TrainedModel, outcome: Outcome) -> dict[str, Any]:
    """What came of it, with the metrics of the run on its validation split, by which a sweep chooses."""
    of_run = model.result
    validation = {name: value for name, value in of_run["metrics"].items() if name.startswith("validation/")}
    mine = directory.config
    shown = outcome.shown
    return {
        "signature": directory.signature,
        "run": of_run["signature"],
        "estimator": of_run["estimator"],
        "metric": outcome.metric,
        "metrics": validation | outcome.metrics,
        "shown": None if shown is None else {"columns": list(shown.columns), "rows": list(shown.rows)},
        "notes": outcome.notes,
        **outcome.details,
        "definition": directory.definition,
        "checkpoints": {
            str(path.resolve()): checksum(path) for path in (model.checkpoint, *outcome.checkpoints)
        },
        "config": of_run["config"] | {f"{_name(use)}.{name}": value for name, value in mine.items()},
    }
