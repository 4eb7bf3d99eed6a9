"""The LightningModule around the evidence lower bound: it calls the estimator, logs, and optimizes."""

import time
from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from vae_lab.estimators.base import Estimate, Estimator
from vae_lab.evaluation.active_units import ActiveUnits, posterior_means
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource
from vae_lab.training import not_finite
from vae_lab.training.evaluation import Evaluation
from vae_lab.training.optimizers import OptimizerFactory
from vae_lab.training.summary import Summary
from vae_lab.training.window import Window

LOG_EVERY = 50  # steps that one row of training metrics averages


class VAEModule(pl.LightningModule):
    """Trains a VAE by a gradient estimator, or an alternative by its log-likelihood.

    Training metrics are averages over the last `LOG_EVERY` minibatches. Validation and test compute the
    estimator's bound in eval mode, without gradients, each datum counting once.

    Args:
        model: What is trained.
        estimator: The gradient estimator.
        optimizer: Settings of the optimizer.
        noise: Source of the training and evaluation noise.
        evaluation: What is measured.
        batch_size: Global batch size.
        dataset_size: Size of the training part.
        alternate: Encoder and decoder take their steps in turn instead of together.
        origin: The run that checkpoints name.
    """

    model: Any  # whichever its estimator serves

    def __init__(
        self,
        model: GenerativeModel,
        estimator: Estimator,
        optimizer: OptimizerFactory,
        noise: NoiseSource,
        evaluation: Evaluation,
        batch_size: int,
        dataset_size: int,
        alternate: bool = False,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.estimator = estimator
        self.optimizer = optimizer
        self.noise = noise
        self.evaluation = evaluation
        self.batch_size = batch_size
        self.dataset_size = dataset_size
        self.alternate = alternate
        self.origin = dict(origin or {})
        self.window = Window(LOG_EVERY)
        self.training_seconds = 0.0
        self.latest: dict[str, float] = {}
        self._estimate: Estimate | None = None
        self._started_at = 0.0

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes the current hook here 28 times a step, and a Module's own __setattr__ is slow.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def samples(self) -> int:
        """Training samples evaluated so far."""
        return self.trainer.global_step * self.batch_size

    def configure_optimizers(self) -> Any:
        steps_per_epoch = max(1, self.dataset_size // self.batch_size)
        others = [*self.model.inference_parameters(), *self.estimator.parameters()]
        return self.optimizer.lightning(self.model.generative_parameters(), others, steps_per_epoch)

    def on_train_start(self) -> None:
        self._started_at = time.perf_counter()

    def training_step(self, batch: Batch) -> Tensor:
        noise = batch.draw_for_step(
            self.noise,
            self.estimator.noise_spec(self.model, batch),
            "train",
            self.trainer.global_step,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        self.estimator.samples = self.samples
        self._estimate = self.estimator(self.model, batch, noise)
        return -self._estimate.surrogate.mean()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if not self.alternate:
            return
        even = self.trainer.global_step % 2 == 0
        for parameter in self.model.generative_parameters() if even else self.model.inference_parameters():
            parameter.grad = None

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        assert self._estimate is not None
        self._update_estimator(self._estimate.statistics)
        self.estimator.keep(batch.indices, self._estimate.state)
        self.window.add(self._estimate.terms | {"surrogate": self._estimate.surrogate.detach()})
        if self.window.is_full or self.trainer.global_step == self.trainer.max_steps:
            self._log_window()

    def on_train_end(self) -> None:
        self.training_seconds += time.perf_counter() - self._started_at

    def on_validation_start(self) -> None:
        self._check_window()
        self._paused_at = time.perf_counter()
        curves = self.trainer.datamodule.dataset.curves  # type: ignore[attr-defined]
        self._summaries = {curve: Summary() for curve in curves}

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        curve = list(self._summaries)[dataloader_idx]
        purpose = curve.removesuffix("_curve")  # at the end of training the curve meets the test's own value
        model = self.evaluation.with_posterior(self.model, batch, self.noise, purpose)
        terms = self.evaluation.along_training(model, self.estimator, batch, self.noise, purpose)
        self._summaries[curve].add(terms)

    def on_validation_end(self) -> None:
        self.leave_out(time.perf_counter() - self._paused_at)

    def leave_out(self, seconds: float) -> None:
        """Leaves a time, such as that of an evaluation, out of the training time."""
        self._started_at += seconds

    def on_validation_epoch_end(self) -> None:
        metrics = {
            f"{curve}/{name}": value
            for curve, summary in self._summaries.items()
            for name, value in self._means(summary).items()
        }
        self.log_dict(metrics, logger=False, sync_dist=True)
        self.log_row(metrics)

    def on_test_start(self) -> None:
        self._summary = Summary()
        self._active_units = ActiveUnits(self.model.latent_dim if self.model.has_latents else 0)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        model = self.evaluation.with_posterior(self.model, batch, self.noise, "test")
        self._summary.add(self.evaluation.at_the_end(model, self.estimator, batch, self.noise))
        if model.has_encoder:
            self._active_units.add(*posterior_means(model, batch, self.noise))

    def on_test_epoch_end(self) -> None:
        self.test_metrics: dict[str, float] = self._means(self._summary)
        if self.model.has_encoder:
            sums = self._over_processes(self._active_units.sums)
            if sums[0, 0] > 1:  # one datum has no variance
                self.test_metrics["active_units"] = self._active_units.count(sums)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        seconds = self.training_seconds
        if self.trainer.training and self._started_at:
            seconds += time.perf_counter() - self._started_at
        checkpoint["vae_lab"] = {
            "window": self.window.state_dict(),
            "training_seconds": seconds,
            "samples": self.samples,
            "origin": self.origin,
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        self.window.load_state_dict(checkpoint["vae_lab"]["window"])
        self.training_seconds = checkpoint["vae_lab"]["training_seconds"]

    def log_row(self, metrics: Mapping[str, float]) -> None:
        """Hands one row to every logger, with step, samples and epoch beside it."""
        self.latest = self.latest | dict(metrics)
        position = {"samples": self.samples, "epoch": self.samples / self.dataset_size}
        for logger in self.trainer.loggers:
            logger.log_metrics(position | dict(metrics), step=self.trainer.global_step)

    def _update_estimator(self, statistics: Mapping[str, Tensor]) -> None:
        if statistics:
            means = torch.stack([values.mean() for values in statistics.values()])
            means = self._over_processes(means, "mean").to(means)
            self.estimator.update(dict(zip(statistics, means, strict=True)))

    def check_finite(self) -> None:
        """Checks the terms of the last steps, then every parameter.

        Raises:
            NotFiniteError: If one is NaN or infinite.
        """
        self._check_window()
        not_finite.check_parameters(self)

    def _check_window(self) -> None:
        if (term := self.window.first_not_finite()) is not None:
            row, name, value = term
            step = self.trainer.global_step - self.window.count + row + 1
            raise not_finite.of_term(self, step, name, value)

    def _log_window(self) -> None:
        self._check_window()
        averages = self._over_processes(self.window.means(), "mean").tolist()
        means = dict(zip(self.window.names, averages, strict=True))
        means.pop("surrogate")
        self.log_row({f"train/{name}": value for name, value in means.items()})

    def _means(self, summary: Summary) -> dict[str, float]:
        return summary.means(self._over_processes(summary.sums()))

    def _over_processes(self, values: Tensor, operation: str = "sum") -> Tensor:
        if self.trainer.world_size == 1:
            return values
        return self.trainer.strategy.reduce(values.to(self.device), reduce_op=operation).cpu()
