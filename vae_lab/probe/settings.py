"""The settings of a probe, waiting for model and data."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Literal

from vae_lab.datasets.base import SplitDataset
from vae_lab.datasets.batches import TrainingBatches
from vae_lab.estimators.base import Estimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, permutation
from vae_lab.probe.measurement import Measurement
from vae_lab.probe.probe import Probe
from vae_lab.probe.warm_up import warm_up

SplitName = Literal["train", "validation", "test"]


class ProbeSettings:
    """How gradient estimators are measured.

    Args:
        num_replicates: Draws of the noise, at least 2; 8 for an interval, 16 for a bias to be judged.
        batch_size: Data in the minibatch, at least 2; 1 is enough without `minibatch`.
        split: The part of the dataset from which they come.
        chunk: At least so many replicates at a time, and fewer than twice as many; at least 2.
        minibatch: Whether the variance over minibatches is estimated.
        warm_up: Minibatches on which baselines that learn do so before they are measured.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        num_replicates: int = 100,
        batch_size: int = 100,
        split: SplitName = "train",
        chunk: int = 20,
        minibatch: bool = True,
        warm_up: int = 200,
    ) -> None:
        if num_replicates < 2:
            raise ValueError(f"num_replicates must be at least 2 to show a variance, got {num_replicates}.")
        if chunk < 2:
            raise ValueError(f"chunk must be at least 2, got {chunk}.")
        if batch_size < (least := 2 if minibatch else 1):
            also = "; or set minibatch=false" if batch_size == 1 else ""
            raise ValueError(f"batch_size must be at least {least}, got {batch_size}{also}.")
        if warm_up < 0:
            raise ValueError(f"warm_up must not be negative, got {warm_up}.")
        self.num_replicates = num_replicates
        self.batch_size = batch_size
        self.split: SplitName = split
        self.chunk = chunk
        self.minibatch = minibatch
        self.warm_up = warm_up

    def check(self, dataset: SplitDataset) -> None:
        """Raises `ValueError` if the split has too few data."""
        size = len(getattr(dataset.data, self.split).x)
        if self.batch_size > size:
            raise ValueError(
                f"batch_size must be at most {size}, the size of the {self.split} part, "
                f"got {self.batch_size}."
            )

    def measure(
        self, vae: VAE, dataset: SplitDataset, estimators: Mapping[str, Estimator], noise: NoiseSource
    ) -> list[Measurement]:
        """Measures all estimators on one minibatch, their baselines having found their level.

        Neither the estimators nor the model are changed.
        """
        mine = {
            name: deepcopy(estimator).to(next(vae.parameters())) for name, estimator in estimators.items()
        }
        for estimator in mine.values():
            batches = iter(self._training(vae, dataset))
            next(batches)  # may be the one that is probed
            warm_up(estimator, vae, batches, noise)
        batch = self._batch(vae, dataset)
        probe = Probe(vae, batch, noise, self.num_replicates, self.chunk, minibatch=self.minibatch)
        return probe.measure(mine)

    def _batch(self, vae: VAE, dataset: SplitDataset) -> Batch:
        if self.split == "train":
            return next(iter(self._training(vae, dataset)))
        x = getattr(dataset.data, self.split).x
        indices = permutation(len(x), seed=dataset.seed, purpose="probe", epoch=0)[: self.batch_size]
        like = next(vae.parameters())
        return Batch(x[indices].to(like), indices.to(like.device))

    def _training(self, vae: VAE, dataset: SplitDataset) -> TrainingBatches:
        x = dataset.data.train.x.to(next(vae.parameters()))
        return TrainingBatches(x, self.batch_size, 1 + self.warm_up, 0, dataset.seed, dataset.redraw)
