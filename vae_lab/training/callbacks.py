"""Lightning callbacks: when to evaluate, which checkpoints to keep, and whose signals are whose."""

import math
import signal
import sys
import time
from collections.abc import Set
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from vae_lab.files.writing import replace


class EvaluateAt(pl.Callback):
    """Runs Lightning's validation loop after the given steps.

    Args:
        steps: Numbers of optimizer steps.
        last: The last step of the run, after which it runs in any case.
    """

    def __init__(self, steps: Set[int], last: int) -> None:
        self.steps = steps
        self.last = last

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        # Lightning validates if steps + 1 is divisible by val_check_batch, which it reads after this hook.
        is_due = trainer.global_step in self.steps or trainer.global_step == self.last
        trainer.val_check_batch = 1 if is_due else sys.maxsize


class LeaveSigterm(pl.Callback):
    """Leaves SIGTERM as it was: deadly, or ignored where SLURM sends it before a preemption.

    Lightning would end the process with status 0, as if the run were done.
    """

    def __init__(self) -> None:
        self.as_it_was = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, self.as_it_was)

    def on_test_start(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, self.as_it_was)


class Checkpoints(pl.Callback):
    """Keeps `last.ckpt`, the checkpoints asked for, and `best.ckpt` if models are selected.

    A checkpoint is written when everything that belongs to its step, validation included, is done; so that
    what is resumed from it repeats nothing and leaves nothing out. It is written beside its place and
    renamed, and never with parameters that are not finite.

    Args:
        folder: Where the checkpoints go.
        steps: Optimizer steps after which a numbered checkpoint is kept.
        seconds: Time between two updates of `last.ckpt`.
        selection: Metric of the validation split whose highest value makes `best.ckpt`, or None.
        batch_size: Global batch size, which names the numbered checkpoints by samples.
    """

    def __init__(
        self, folder: Path, steps: Set[int], seconds: float, selection: str | None, batch_size: int
    ) -> None:
        self.folder = folder
        self.steps = steps
        self.seconds = seconds
        self.selection = selection
        self.batch_size = batch_size
        self.best = -math.inf
        self._saved_at = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._saved_at = time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 0:
            return
        if trainer.global_step in self.steps:
            self._save_numbered(trainer)
        if self._is_time(trainer):
            self._save(trainer, "last")
            self._saved_at = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.selection is None or trainer.state.fn != "fit":
            return
        value = float(trainer.callback_metrics[self.selection])
        if value > self.best:
            self.best = value
            self._save(trainer, "best")

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.global_step in self.steps:
            self._save_numbered(trainer)
        self._save(trainer, "last")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def _is_time(self, trainer: pl.Trainer) -> bool:
        due = time.monotonic() - self._saved_at >= self.seconds
        if trainer.world_size == 1:
            return due
        # Saving is collective, so that the processes must agree; asking every step would cost a broadcast.
        return trainer.global_step % 50 == 0 and trainer.strategy.broadcast(due)

    def _save_numbered(self, trainer: pl.Trainer) -> None:
        self._save(trainer, f"samples={trainer.global_step * self.batch_size:09d}")

    def _save(self, trainer: pl.Trainer, name: str) -> None:
        trainer.lightning_module.check_finite()  # type: ignore[operator]
        partial = self.folder / f".{name}.partial"
        try:
            trainer.save_checkpoint(partial, weights_only=False)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        if trainer.is_global_zero:
            replace(partial, self.folder / f"{name}.ckpt")
