"""One run, from its configuration to its files; the only place that knows the order."""

import gc
import logging
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from vae_lab.errors import UserError
from vae_lab.files.ownership import written_whole
from vae_lab.files.writing import checksum
from vae_lab.models.sampling import draw_data
from vae_lab.runs.code import Code, continued, is_as_now
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.result import Result
from vae_lab.tracking import MetricsCsv
from vae_lab.training.build import TrainingParts, build_run
from vae_lab.training.checkpoint import CHECKSUM, load_checkpoint
from vae_lab.training.data_module import DataModule
from vae_lab.training.direct_fit import fit
from vae_lab.training.figures.of_run import IMAGES, draw_figures
from vae_lab.training.module import VAEModule
from vae_lab.training.settings import Settings


def run(settings: Settings, directory: RunDirectory) -> Result | None:
    """Builds, fits, tests and writes one run, or continues it from its last checkpoint.

    Returns:
        The result; None for the helpers of a distributed run.

    Raises:
        UserError: If the configuration, the data or what lies in the directory cannot make a run.
    """
    quieten_libraries()
    _free_gpu_memory()
    code = directory.code()
    parts = build_run(settings, directory.checkpoints)
    if not isinstance(parts, TrainingParts):
        return fit(directory, parts)
    leads = getattr(rank_zero_only, "rank", 0) == 0
    if parts.trainer.world_size > 1 and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError(
            "trainer: a run of several processes cannot be part of -m, since each process would start the "
            "whole multirun again; give each run a command of its own."
        )
    module = _module(parts)
    if not leads:
        _train_and_test(directory, parts, module, _resume(directory, parts, module, code))
        return None
    with directory.once(lambda: _progress(parts, module), lambda: _goes_on(directory, code)) as writing:
        if not writing.is_done:
            directory.begin(code["hash"] if directory.rerun == "code" else None)
            directory.keep_diff(code)
            resumed_at = _resume(directory, parts, module, code)
            entries = _train_and_test(directory, parts, module, resumed_at)
            writing.keep(entries, code | {"history": module.origin["code"]}, module.device)
    return writing.result


def _module(parts: TrainingParts) -> VAEModule:
    return VAEModule(
        parts.model,
        parts.estimator,
        parts.optimizer,
        parts.noise,
        parts.evaluation,
        alternate=parts.trainer_factory.alternate,
        batch_size=parts.dataset.batch_size,
        dataset_size=len(parts.dataset.data.train.x),
    )


def _progress(parts: TrainingParts, module: VAEModule) -> dict[str, Any]:
    """How far the training is, for those who look on; read by a thread beside it."""
    metric = f"validation/{parts.estimator.selection}"
    return {
        "samples": parts.trainer.global_step * module.batch_size,
        "total": parts.trainer.max_steps * module.batch_size,
        "metric": metric,
        "value": module.latest.get(metric),
    }


def quieten_libraries() -> None:
    """Silences what Lightning says of its own settings and of other products."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
    warnings.filterwarnings("ignore", message=".*Total length of .* across ranks is zero.*")  # no validation


def _free_gpu_memory() -> None:
    """Gives back what an earlier run of this process, as in a sweep with hydra/launcher=basic, has left."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def _goes_on(directory: RunDirectory, code: Code) -> bool:
    """Whether what a directory has is to be continued."""
    again = directory.rerun
    return again is not True and not (again == "code" and _is_of_other_code(directory, code))


def _is_of_other_code(directory: RunDirectory, code: Code) -> bool:
    """Whether the result or the checkpoint in a directory was made by other code than this, or in part."""
    if (result := directory.finished()) is not None:
        return not is_as_now(result)
    path = directory.last_checkpoint
    if not path.exists():
        return False
    history = _of_this_run(directory, path)["vae_lab"].get("origin", {}).get("code", [])
    return [each["hash"] for each in history] != [code["hash"]]


def _resume(directory: RunDirectory, parts: TrainingParts, module: VAEModule, code: Code) -> int:
    """The step of the checkpoint to continue from, or 0; says in the module what its own will name."""
    path = directory.last_checkpoint
    nothing: dict[str, Any] = {"global_step": 0, "vae_lab": {}, CHECKSUM: ""}
    checkpoint = _of_this_run(directory, path) if path.exists() else nothing
    step: int = checkpoint["global_step"]
    if path.exists() and not directory.metrics_csv.is_file():
        raise UserError(
            f"{directory.metrics_csv} is missing, which holds what was measured up to the last checkpoint; "
            "put it back, or pass rerun=true to begin again."
        )
    if step > parts.trainer.max_steps:
        raise UserError(
            f"{path} is of a longer run: at step {step} of {parts.trainer.max_steps}. Delete it, or pass "
            "rerun=true, to begin again."
        )
    if checkpoint[CHECKSUM] is None:
        parts.notes.append(
            f"continued at step {step} from a checkpoint of an earlier version, which names no run and has "
            "no checksum"
        )
    history = checkpoint["vae_lab"].get("origin", {}).get("code")
    module.origin = directory.origin | {"code": continued(history, step * module.batch_size, code)}
    return step


def _of_this_run(directory: RunDirectory, path: Path) -> dict[str, Any]:
    """The content of a checkpoint, verified to be whole and of this run."""
    try:
        checkpoint = load_checkpoint(path)
    except ValueError as error:
        raise UserError(f"{error} Delete it, or pass rerun=true, to begin again.") from error
    directory.check_origin(path, checkpoint["vae_lab"].get("origin", {}))
    return checkpoint


def _train_and_test(
    directory: RunDirectory, parts: TrainingParts, module: VAEModule, resumed_at: int
) -> dict[str, Any]:
    try:
        _fit(directory, parts, module, resumed_at)
        return _measure(directory, parts, module)
    finally:
        parts.tracking.finish()


def _fit(directory: RunDirectory, parts: TrainingParts, module: VAEModule, resumed_at: int) -> None:
    metrics_csv = MetricsCsv(directory.metrics_csv, resumed_at)
    trackers = parts.tracking.start(
        directory.path,
        directory.signature,
        config=directory.configuration,
        job_type=type(parts.estimator).__name__,
        history=metrics_csv,
    )
    parts.trainer.loggers = [metrics_csv, *trackers]
    parts.trainer.fit(
        module,
        datamodule=DataModule(parts.dataset),
        ckpt_path=directory.last_checkpoint if resumed_at else None,
        weights_only=True,
    )


def _measure(directory: RunDirectory, parts: TrainingParts, module: VAEModule) -> dict[str, Any]:
    samples = parts.trainer.global_step * module.batch_size
    budget = parts.trainer.max_steps * module.batch_size
    if samples < budget:  # a callback of the user's may stop a training
        parts.notes.append(f"the training ended at {samples:,} of {budget:,} samples, before its budget")
    metrics = _followed(directory, parts.trainer_factory.select, f"validation/{parts.estimator.selection}")
    tested = directory.tested_checkpoint
    if parts.trainer_factory.select == "best":
        module.load_state_dict(_of_this_run(directory, tested)["state_dict"])
    parts.trainer.test(module, datamodule=DataModule(parts.dataset), verbose=False)
    metrics |= {"samples": samples} | {f"test/{name}": value for name, value in module.test_metrics.items()}
    exact = _exact_log_likelihoods(parts)
    metrics |= {f"{split}/exact_log_likelihood": value for split, value in exact.items()}
    sampling_seconds = math.nan
    if getattr(rank_zero_only, "rank", 0) == 0:
        module.log_row({name: value for name, value in metrics.items() if name.startswith("test/")})
        parts.model.eval()
        drawn, sampling_seconds = draw_data(parts.model, parts.dataset.shape, IMAGES)
        with written_whole(directory.path) as folder:
            figures = draw_figures(
                folder / "figures", directory.rows(), parts, drawn, exact=exact.get("validation")
            )
            parts.tracking.log_figures(figures)
    return {
        "signature": directory.signature,
        "estimator": type(parts.estimator).__name__,
        "selection": parts.estimator.selection,
        "has_density": parts.has_density,
        "metrics": dict(sorted(metrics.items())),
        "budget": budget,
        "parameters": parts.model.num_parameters,
        "log_likelihood": _log_likelihood(parts),
        "notes": parts.notes,
        "doubts": parts.evaluation.doubts(module.test_metrics),
        "checkpoint_sha256": checksum(tested),
        "definition": directory.definition,
        "config": directory.config,
        "timing": {
            "training_seconds": module.training_seconds,
            "sampling_seconds": sampling_seconds,
            "samples_per_second": samples / module.training_seconds if module.training_seconds else math.nan,
        },
    }


def _followed(directory: RunDirectory, select: str, metric: str) -> dict[str, float]:
    """Metrics along training of the weights that are tested: the last ones, or those of the highest
    `metric`; on the validation split and on the training data that are followed.
    """
    of = ("validation/", "train_curve/")
    rows = [{k: float(v) for k, v in row.items() if v and k.startswith(of)} for row in directory.rows()]
    if select == "best":
        return max((row for row in rows if metric in row), key=lambda row: row[metric], default={})
    return next((row for row in reversed(rows) if row), {})


def _log_likelihood(parts: TrainingParts) -> str | None:
    """The kind of number that `test/log_likelihood` is."""
    if not parts.model.has_latents:
        return parts.model.log_likelihood
    num_samples = parts.evaluation.importance_samples
    return None if num_samples is None or not parts.has_density else f"L_{num_samples}"


def _exact_log_likelihoods(parts: TrainingParts) -> dict[str, float]:
    """The exact values for data whose distribution is known."""
    if not hasattr(parts.dataset, "log_prob"):
        return {}
    splits = {"validation": parts.dataset.data.validation, "test": parts.dataset.data.test}
    return {name: float(parts.dataset.log_prob(split.x).mean()) for name, split in splits.items()}
