"""The types of the root keys; every group below them is plain YAML."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class TrainConfig:
    """Root keys of `conf/train.yaml`; any other is refused, in a file and on the command line."""

    dataset: Any = MISSING
    model: Any = MISSING
    estimator: Any = MISSING
    noise: Any = MISSING
    optimizer: Any = MISSING
    trainer: Any = MISSING
    evaluation: Any = MISSING
    logger: Any = MISSING
    callbacks: Any = MISSING
    sweep: Any = None
    seed: int = 0
    rerun: bool = False
    output_dir: str = "outputs"


@dataclass
class GradientsConfig(TrainConfig):
    """Root keys of `conf/gradients.yaml`: those of the training that makes the model, and the probe's."""

    estimators: Any = MISSING
    probe: Any = MISSING
    num_samples: int = 5
    run: str | None = None
    at: Any = 0


def register() -> None:
    """Makes the schemas known to Hydra."""
    ConfigStore.instance().store(name="train_schema", node=TrainConfig)
    ConfigStore.instance().store(name="gradients_schema", node=GradientsConfig)
