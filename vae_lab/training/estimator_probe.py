"""A Lightning callback that measures gradient estimators along a training."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from vae_lab.estimators.base import Estimator
from vae_lab.probe.settings import ProbeSettings
from vae_lab.training.module import VAEModule

METRICS = ("variance", "snr", "bias_z")
GROUPS = ("outputs", "encoder", "decoder")


class EstimatorProbe(pl.Callback):
    """Logs variance, signal-to-noise ratio and z-score of the bias of chosen estimators every so many steps.

    The training is not disturbed: the probe has noise of its own, keyed by purpose, touches neither
    parameters nor their gradients nor a generator, and its time is left out of the training time. A
    measurement is a function of seed and weights, so that a resumed run repeats the uninterrupted one.

    Args:
        estimators: What is measured, by name.
        probe: How it is measured.
        every: Optimizer steps between two measurements, at least 1; the first is before training.

    Raises:
        ValueError: If `every` is below 1.
    """

    def __init__(self, estimators: Mapping[str, Estimator], probe: ProbeSettings, every: int = 500) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}.")
        self.estimators = dict(estimators)
        self.probe = probe
        self.every = every

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.global_step == 0:
            self._measure(trainer, module)

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step % self.every == 0:
            self._measure(trainer, module)

    def _measure(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, VAEModule)
        if not trainer.is_global_zero:
            return
        started = time.perf_counter()
        dataset = trainer.datamodule.dataset  # type: ignore[attr-defined]
        rows = self.probe.measure(module.model, dataset, self.estimators, module.noise)
        module.log_row(
            {
                f"probe/{row.estimator}/{row.group}/{metric}": getattr(row, metric)
                for row in rows
                if row.group in GROUPS
                for metric in METRICS
            }
        )
        module.leave_out(time.perf_counter() - started)
