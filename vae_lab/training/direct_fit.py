"""One run of a model that fits itself, from its parts to its files."""

import time
from typing import Any

import torch
from torch import Tensor

from vae_lab.datasets.base import EVALUATION_BATCH
from vae_lab.errors import UserError
from vae_lab.files.ownership import written_whole
from vae_lab.files.writing import checksum, replace
from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.sampling import draw_data
from vae_lab.numerics.streamed import StreamedTensor
from vae_lab.runs.code import Code, continued
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.result import Result
from vae_lab.tracking import MetricsCsv
from vae_lab.training.build import RunParts
from vae_lab.training.checkpoint import PREFIX, with_checksum
from vae_lab.training.figures.of_run import IMAGES, draw_run_samples


def fit(directory: RunDirectory, parts: RunParts) -> Result:
    """Fits, tests and writes one run; a run that was interrupted begins again.

    Returns:
        The result.

    Raises:
        UserError: If the data do not determine the model.
    """
    progress: dict[str, Any] = {"samples": 0, "total": None, "metric": "train/log_likelihood", "value": None}
    with directory.once(lambda: progress) as writing:
        if not writing.is_done:
            directory.begin()
            code = directory.code()
            directory.keep_diff(code)
            try:
                seconds = _fit(directory, parts, progress, code)
                writing.keep(_measure(directory, parts, seconds), code, torch.device("cpu"))
            finally:
                parts.tracking.finish()
    return writing.result


def _fit(directory: RunDirectory, parts: RunParts, progress: dict[str, Any], code: Code) -> float:
    """Writes a row for each step and the checkpoint; gives the seconds that the fit took."""
    rows = MetricsCsv(directory.metrics_csv)
    trackers = parts.tracking.start(
        directory.path,
        directory.signature,
        config=directory.configuration,
        job_type=type(parts.model).__name__,
        history=rows,
    )
    assert isinstance(parts.model, DirectlyFitted)
    x = parts.dataset.fixed_training_data
    seconds, started = 0.0, time.perf_counter()
    try:
        for step, metrics in enumerate(parts.model.fit(x, parts.noise), start=1):
            seconds += time.perf_counter() - started
            row: dict[str, float] = {"samples": step * len(x), "epoch": step}
            row |= {f"train/{name}": value for name, value in metrics.items()}
            progress |= {"samples": step * len(x), "value": metrics.get("log_likelihood")}
            for logger in (rows, *trackers):
                logger.log_metrics(row, step=step)
            started = time.perf_counter()
    except ValueError as error:
        raise UserError(f"model.{error}") from error
    state = {f"{PREFIX}{name}": value for name, value in parts.model.state_dict().items()}
    partial = directory.last_checkpoint.with_suffix(".partial")
    origin = directory.origin | {"code": continued(None, 0, code)}
    content = {"state_dict": state, "vae_lab": {"samples": progress["samples"], "origin": origin}}
    torch.save(with_checksum(content), partial)
    replace(partial, directory.last_checkpoint)
    return seconds


def _measure(directory: RunDirectory, parts: RunParts, seconds: float) -> dict[str, Any]:
    model: Any = parts.model.eval()
    splits = {"validation": parts.dataset.data.validation, "test": parts.dataset.data.test}
    metrics: dict[str, float] = {"samples": len(parts.dataset.data.train.x)}
    for name, split in splits.items():
        if len(split.x):
            metrics[f"{name}/log_likelihood"] = _mean_log_prob(model, split.x)
    drawn, sampling_seconds = draw_data(model, parts.dataset.shape, IMAGES)
    with written_whole(directory.path) as folder:
        parts.tracking.log_figures(draw_run_samples(folder / "figures", drawn))
    return {
        "signature": directory.signature,
        "estimator": type(model).__name__,
        "selection": "log_likelihood",
        "has_density": parts.has_density,
        "metrics": metrics,
        "parameters": model.num_parameters,
        "log_likelihood": model.log_likelihood,
        "notes": parts.notes,
        "checkpoint_sha256": checksum(directory.last_checkpoint),
        "definition": directory.definition,
        "config": directory.config,
        "timing": {"training_seconds": seconds, "sampling_seconds": sampling_seconds},
    }


@torch.no_grad()
def _mean_log_prob(model: DirectlyFitted, x: Tensor | StreamedTensor) -> float:
    starts = range(0, len(x), EVALUATION_BATCH)
    parts = [model.log_prob(x[start : start + EVALUATION_BATCH]).double() for start in starts]
    return torch.cat(parts).mean().item()
