"""The trainer's settings, and Lightning's Trainer made from them."""

import math
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import MPSAccelerator, XLAAccelerator
from pytorch_lightning.plugins.environments import (
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vae_lab.training.callbacks import Checkpoints, EvaluateAt, LeaveSigterm
from vae_lab.training.checkpoint import CheckpointIO
from vae_lab.training.options import check_options
from vae_lab.training.precision import check_precision
from vae_lab.training.progress import Progress
from vae_lab.training.schedule import Points, steps_at

MAX_SAMPLES = 10**15  # a budget, which nobody will see the end of
MAX_PROCESSES = 1024  # on one machine


def _is_there(accelerator: str) -> bool:
    """Whether a kind of device is on this machine; an unknown kind is Lightning's to refuse."""
    if accelerator in ("gpu", "cuda"):
        return torch.cuda.is_available()
    if accelerator == "mps":
        return MPSAccelerator.is_available()
    return XLAAccelerator.is_available() if accelerator == "tpu" else True


class _NoProfiler(PassThroughProfiler):
    """Measures nothing, in less time than Lightning's default takes to do so some forty times a step."""

    def profile(self, action_name: str) -> Any:
        return _NOTHING


_NOTHING = nullcontext()


class TrainerFactory:
    """Settings of a training, waiting for the data's size.

    Args:
        max_epochs: Budget in passes over the training data; counts unless `max_samples` is given.
        max_samples: Budget in training samples, the papers' axis; rounded up to whole batches.
        evaluate_at: When the validation split is evaluated: `epoch`, `log`, `end`, every n samples, or a list
            of sample counts; always at the end.
        checkpoint_at: When a numbered checkpoint is kept, given likewise; `last.ckpt` is kept in any case.
        checkpoint_seconds: Time between two updates of `last.ckpt`.
        select: Which weights are tested: `last`, or the `best` on the validation split.
        alternate: Encoder and decoder take their steps in turn instead of together.
        accelerator: Lightning's: `cpu`, `gpu`, `auto`, ...
        devices: Lightning's.
        num_nodes: Lightning's.
        strategy: Lightning's.
        precision: `32-true`, `64-true` or, for the networks alone, `bf16-mixed` and on a GPU `16-mixed`.
        progress: Whether progress is shown.
        options: Arguments of `pytorch_lightning.Trainer` that have no key here: `gradient_clip_val`,
            `gradient_clip_algorithm`, `deterministic`, `benchmark`, `detect_anomaly`, `sync_batchnorm`.

    Raises:
        ValueError: If the budget is below 1, a GPU or a precision is asked for that is not there, or an
            option is none of those.
    """

    def __init__(
        self,
        max_epochs: int | None = None,
        max_samples: int | float | None = None,
        evaluate_at: Points = "epoch",
        checkpoint_at: Points = (),
        checkpoint_seconds: float = 5.0,
        select: Literal["last", "best"] = "last",
        alternate: bool = False,
        accelerator: str = "cpu",
        devices: int | str | list[int] = 1,
        num_nodes: int = 1,
        strategy: str = "auto",
        precision: Any = "32-true",
        progress: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if max_samples is None and max_epochs is None:
            raise ValueError("max_epochs or max_samples must be given.")
        for name, budget in (("max_epochs", max_epochs), ("max_samples", max_samples)):
            if budget is not None and budget > MAX_SAMPLES:
                raise ValueError(f"{name} must be at most {MAX_SAMPLES:.0e}, which no machine reaches.")
            if budget is not None and not (budget >= 1 and float(budget).is_integer()):
                raise ValueError(f"{name} must be a whole number of at least 1, got {budget}.")
        processes = devices if isinstance(devices, int | str) else len(devices)
        if str(processes).isdigit() and int(processes) > MAX_PROCESSES:
            raise ValueError(f"devices must be at most {MAX_PROCESSES}, got {devices}.")
        if num_nodes < 1:
            raise ValueError(f"num_nodes must be at least 1, got {num_nodes}.")
        if not checkpoint_seconds >= 0:
            raise ValueError(f"checkpoint_seconds must not be negative, got {checkpoint_seconds}.")
        if not _is_there(accelerator):
            device = "GPU" if accelerator in ("gpu", "cuda") else "such device"
            raise ValueError(
                f"accelerator must be cpu here, got {accelerator}: torch finds no {device}; use trainer=cpu."
            )
        check_precision(precision, accelerator)
        check_options(options or {}, one_process=devices in (1, "1") and num_nodes == 1)
        self.max_epochs = max_epochs
        self.max_samples = max_samples
        self.evaluate_at = evaluate_at
        self.checkpoint_at = checkpoint_at
        self.checkpoint_seconds = checkpoint_seconds
        self.select = select
        self.alternate = alternate
        self.accelerator = accelerator
        self.devices = devices
        self.num_nodes = num_nodes
        self.strategy = strategy
        self.precision = precision
        self.progress = progress
        self.options = dict(options or {})

    def num_steps(self, batch_size: int, dataset_size: int) -> int:
        """The budget in optimizer steps, rounded up."""
        samples = self.max_samples or (self.max_epochs or 0) * dataset_size
        if samples > MAX_SAMPLES:
            raise ValueError(f"max_epochs must be at most {MAX_SAMPLES // dataset_size} for these data.")
        return math.ceil(samples / batch_size)

    def trainer(
        self,
        *,
        batch_size: int,
        dataset_size: int,
        selection: str,
        checkpoints: Path,
    ) -> pl.Trainer:
        """Lightning's Trainer for a dataset of the given size, as yet without loggers.

        The whole budget is one Lightning epoch, and batches and evaluations are functions of the step.

        Raises:
            ValueError: If a sample count is below 1, or Lightning refuses an argument.
        """
        steps = self.num_steps(batch_size, dataset_size)
        sizes = {"num_steps": steps, "batch_size": batch_size, "dataset_size": dataset_size}
        return self._of_lightning(
            max_steps=steps,
            max_epochs=-1,
            log_every_n_steps=min(50, steps),
            callbacks=self._callbacks(sizes, selection, checkpoints),
            profiler=_NoProfiler(),
            check_val_every_n_epoch=None,
            val_check_interval=steps,
            num_sanity_val_steps=0,
            inference_mode=False,
            use_distributed_sampler=False,
        )

    def check(self) -> None:
        """Checks what Lightning makes of the devices, the strategy and the options, whatever the data.

        Raises:
            ValueError: If Lightning refuses an argument.
        """
        self._of_lightning(max_steps=1)

    def _of_lightning(self, **further: Any) -> pl.Trainer:
        try:
            return pl.Trainer(
                accelerator=self.accelerator,
                devices=self.devices,
                num_nodes=self.num_nodes,
                strategy=self.strategy,
                precision=self.precision,
                logger=False,
                plugins=[CheckpointIO(), *self._plugins()],
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                **further,
                **self.options,
            )
        except (TypeError, MisconfigurationException) as error:
            raise ValueError(str(error)) from error

    def _callbacks(self, sizes: dict[str, int], selection: str, checkpoints: Path) -> list[pl.Callback]:
        callbacks: list[pl.Callback] = [
            LeaveSigterm(),
            EvaluateAt(steps_at(self.evaluate_at, **sizes, name="evaluate_at"), sizes["num_steps"]),
            Checkpoints(
                checkpoints,
                steps_at(self.checkpoint_at, **sizes, name="checkpoint_at"),
                self.checkpoint_seconds,
                f"validation/{selection}" if self.select == "best" else None,
                sizes["batch_size"],
            ),
        ]
        if self.progress:
            callbacks.append(Progress(f"validation/{selection}", sizes["batch_size"]))
        return callbacks

    def _plugins(self) -> list[Any]:
        """Who starts the processes; within a SLURM job Lightning would take over the job's signals."""
        if self.devices in (1, "1") and self.num_nodes == 1:
            return [LightningEnvironment()]
        if "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
            return [SLURMEnvironment(auto_requeue=False)]
        return [] if TorchElasticEnvironment.detect() else [LightningEnvironment()]
