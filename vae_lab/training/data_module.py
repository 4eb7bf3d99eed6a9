"""A dataset as Lightning asks for it."""

from typing import Any

import pytorch_lightning as pl

from vae_lab.datasets.base import SplitDataset
from vae_lab.datasets.batches import EvaluationBatches, TrainingBatches


class DataModule(pl.LightningDataModule):
    """Gives the trainer the batches of its own process.

    Args:
        dataset: Where they come from.
    """

    def __init__(self, dataset: SplitDataset) -> None:
        super().__init__()
        self.dataset = dataset

    def train_dataloader(self) -> TrainingBatches:
        assert self.trainer is not None
        steps = (self.trainer.max_steps, self.trainer.global_step)
        return self.dataset.training_batches(*steps, **self._process)

    def val_dataloader(self) -> list[EvaluationBatches]:
        parts = self.dataset.curves.values()
        return [self.dataset.evaluation_batches(part, **self._process) for part in parts]

    def test_dataloader(self) -> EvaluationBatches:
        return self.dataset.evaluation_batches(self.dataset.data.test, **self._process)

    @property
    def _process(self) -> dict[str, Any]:
        trainer = self.trainer
        assert trainer is not None
        return {
            "device": trainer.strategy.root_device,
            "rank": trainer.global_rank,
            "world_size": trainer.world_size,
        }
