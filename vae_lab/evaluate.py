"""One evaluation of a trained model, from its configuration to its files."""

import math
import sys
from pathlib import Path
from typing import Any, NamedTuple, cast

import polars as pl
import torch
from omegaconf import DictConfig, OmegaConf
from rich.progress import Progress
from torch import Tensor

from vae_lab.alternatives.base import Alternative
from vae_lab.build import Parts, check_root
from vae_lab.config import EvaluateConfig
from vae_lab.errors import UserError
from vae_lab.evaluation.measures import Measured, Measures
from vae_lab.figures.kl_per_dimension import kl_per_dimension
from vae_lab.files import checksum
from vae_lab.loading import Trained, load
from vae_lab.noise import NoiseSource
from vae_lab.orchestration import lease
from vae_lab.orchestration.instantiate import instantiate, named
from vae_lab.orchestration.jobs import finished
from vae_lab.orchestration.provenance import provenance
from vae_lab.orchestration.run_directory import FAILURE, RunDirectory, find, result_of
from vae_lab.orchestration.signature import flatten, signature
from vae_lab.sampling import tensor_of
from vae_lab.vae import Batch

SPLITS = ("test", "validation")


class Plan(NamedTuple):
    """What an evaluation is made of."""

    measures: Measures
    run: Path
    tracker: Any


def plan(cfg: DictConfig) -> Plan:
    """Checks what can be before the run is loaded; writes nothing.

    Raises:
        UserError: If the configuration is wrong, or the run is not finished.
    """
    check_root(cfg, EvaluateConfig)
    if cfg.run is None:
        raise UserError(
            "run must be given, the directory or the signature of a finished run; or runs=<a sweep>."
        )
    if cfg.split not in SPLITS:
        raise UserError(f"split must be one of {', '.join(SPLITS)}, got {cfg.split!r}.")
    if cfg.trainer.accelerator not in ("cpu", "gpu"):
        raise UserError(f"trainer.accelerator must be cpu or gpu, got {cfg.trainer.accelerator!r}.")
    measures = instantiate(cfg.measures, "measures")
    run = find(cfg.run, cfg.output_dir)
    definition = result_of(run)["definition"]
    if "dataset._target_" not in definition or "run" in definition:
        raise UserError(f"run={cfg.run} is no training, but a measurement.")
    return Plan(measures, run, instantiate(cfg.logger, "logger"))


def evaluate(cfg: DictConfig, directory: RunDirectory) -> dict[str, Any]:
    """Measures a trained model on one split.

    Leaves `data.parquet` with the terms of each datum, a figure and, last, `metrics.json`.

    Returns:
        The content of `metrics.json`.

    Raises:
        UserError: If the configuration or the run cannot make an evaluation.
    """
    planned = plan(cfg)
    trained = load(planned.run)
    batch = _data(cfg, trained.parts)
    _check_model(cfg, planned.measures, trained.parts)
    directory.path.mkdir(parents=True, exist_ok=True)
    progress = {"samples": 0, "total": len(batch.x)}
    with lease.hold(directory.path, lambda: progress):
        (directory.path / FAILURE).unlink(missing_ok=True)
        if not cfg.rerun and (done := finished(cfg, directory.path)) is not None:
            return done  # by another process meanwhile
        directory.clear()
        measured = _measure(cfg, planned.measures, trained.parts, batch, progress)
        _write(measured, directory.path)
        result = _result(cfg, directory, trained, measured, batch.x.device)
        directory.finish(result)
    figures = sorted(directory.path.glob("*.png"))
    planned.tracker.log_measured(planned.run, result["run"], result["metrics"], figures)
    return result


def _data(cfg: DictConfig, parts: Parts) -> Batch:
    """All data of the split, beside the model on its device."""
    x = getattr(parts.dataset.data, cfg.split).x
    if len(x) == 0:
        raise UserError(f"split={cfg.split}: the dataset of run={cfg.run} has none; use split=test.")
    if cfg.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("trainer.accelerator=gpu: there is no GPU here; use cpu.")
    device = torch.device("cuda" if cfg.trainer.accelerator == "gpu" else "cpu")
    parts.model.to(device)
    rows = cast(Tensor, x.to(tensor_of(parts.model)))  # or what stands for one, and is read as it is measured
    return Batch(rows, torch.arange(len(x), device=device))


def _check_model(cfg: DictConfig, measures: Measures, parts: Parts) -> None:
    if not parts.has_density:
        raise UserError(f"run={cfg.run} is an autoencoder, which has no p(x, z) to measure.")
    try:
        measures.check(parts.model)
    except ValueError as error:
        raise UserError(named(error, "measures", cfg.measures)) from error


def _measure(
    cfg: DictConfig, measures: Measures, parts: Parts, batch: Batch, progress: dict[str, int]
) -> Measured:
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(f"{cfg.split} data", total=len(batch.x))

        def show(done: int) -> None:
            progress["samples"] = done
            bar.update(task, completed=done)

        noise = parts.noise if cfg.seed is None else NoiseSource(cfg.seed)
        return measures(parts.model, batch, noise, show)


def _write(measured: Measured, directory: Path) -> None:
    """A row for each datum in the order of the split, and the figure of the latent dimensions."""
    columns = {name: term.values.cpu().numpy() for name, term in measured.terms.items()}
    pl.DataFrame(columns).with_row_index("index").write_parquet(directory / "data.parquet")
    if measured.kl_per_dimension is not None:
        kl_per_dimension(measured.kl_per_dimension.tolist(), directory / "kl_per_dimension.png")


def _judged_by(measured: Measured) -> str:
    """The log-likelihood as every kind of model has it, if it was measured, or else in another way."""
    ways = ("log_likelihood", "exact_log_likelihood", "log_likelihood_ais")
    return next((name for name in ways if name in measured.statistics), "log_likelihood")


def _log_likelihood(cfg: DictConfig, trained: Trained) -> str:
    """What `log_likelihood` is."""
    model = trained.parts.model
    if isinstance(model, Alternative):
        return model.log_likelihood
    return f"L_{max(cfg.measures.importance_samples, default=0)}"


def _result(
    cfg: DictConfig, directory: RunDirectory, trained: Trained, measured: Measured, device: torch.device
) -> dict[str, Any]:
    """The metrics, among them those of the run on its validation split, by which a sweep chooses."""
    of_run = trained.result
    metrics = {name: value for name, value in of_run["metrics"].items() if name.startswith("validation/")}
    for name, (value, error, monte_carlo_error) in measured.statistics.items():
        metrics[f"{cfg.split}/{name}"] = value
        metrics |= {} if math.isnan(error) else {f"standard_error/{name}": error}
        metrics |= {} if math.isnan(monte_carlo_error) else {f"monte_carlo_error/{name}": monte_carlo_error}
    mine = flatten(OmegaConf.to_container(cfg, resolve=True))
    kl = [] if measured.kl_per_dimension is None else measured.kl_per_dimension.tolist()
    return {
        "signature": signature(cfg),
        "run": of_run["signature"],
        "estimator": of_run["estimator"],
        "log_likelihood": _log_likelihood(cfg, trained),
        "metric": f"{cfg.split}/{_judged_by(measured)}",
        "metrics": metrics | {f"kl_per_dimension/{number}": value for number, value in enumerate(kl)},
        "notes": [*of_run["notes"], *measured.notes],
        "definition": directory.definition,
        "checkpoints": {str(trained.checkpoint.resolve()): checksum(trained.checkpoint)},
        "config": of_run["config"] | {f"evaluate.{name}": value for name, value in mine.items()},
        "provenance": provenance(device),
    }
