"""The settings of a run: its configuration is read here, and nowhere below."""

from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from vae_lab.config.check_node import no_such_key
from vae_lab.config.instantiate import instantiate, named
from vae_lab.config.rules import Rule, check_rules, differs
from vae_lab.config.schema import GROUPS, TRAINING_GROUPS, TrainConfig
from vae_lab.config.targets import all_parameters, makes
from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator
from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.generative import GenerativeModel
from vae_lab.noise import NoiseSource
from vae_lab.tracking import Tracking
from vae_lab.training.build_model import sized
from vae_lab.training.evaluation import Evaluation
from vae_lab.training.optimizers import OptimizerFactory
from vae_lab.training.trainer import TrainerFactory

_kept: dict[Any, SplitDataset] = {}  # the last dataset that was to be kept

ON_ONE_CPU = {"accelerator": "cpu", "devices": 1, "num_nodes": 1}  # that of a model that fits itself
DIRECT_FIT_RULES = (
    *(
        Rule(differs(f"further.{group}", set()), group, "must be none, as {kind} fits itself; leave it out.")
        for group in TRAINING_GROUPS
    ),
    *(
        Rule(
            differs(f"cfg.trainer.{name}", value),
            f"trainer.{name}",
            f"must be {value}, as {{kind}} fits itself in one process, got {{cfg.trainer.{name}}}.",
        )
        for name, value in ON_ONE_CPU.items()
    ),
    Rule(differs("callbacks", ""), "callbacks", "must be none, as {kind} fits itself, got {callbacks}."),
)


@dataclass(frozen=True)
class Settings:
    """The configuration of a run, each group as the object that it describes, named by its key.

    Args:
        seed: Of every draw.
        dataset: As yet without its data.
        model: Makes the model, given the sizes of the data.
        takes_tables: Whether a datum of the model may be a table.
        noise: Of the run.
        logger: Where metrics are shown.
    """

    seed: int
    dataset: SplitDataset
    model: Callable[[Mapping[str, Any]], GenerativeModel]
    takes_tables: bool
    noise: NoiseSource
    logger: Any

    @classmethod
    def of(cls, cfg: DictConfig, keep_data: bool = False) -> "Settings":
        """The settings of a training, or of a run whose model fits itself.

        Args:
            cfg: The run's configuration.
            keep_data: Whether the dataset is kept until another is asked for, to check many configurations.

        Raises:
            UserError: If a key is unknown, or a value is missing, of another kind or out of its range.
        """
        check_root(cfg, TrainConfig)
        if not makes(cfg.model, "model", DirectlyFitted):
            return TrainingSettings.of(cfg, keep_data)
        kind = str(cfg.model["_target_"]).rsplit(".", 1)[-1]
        further = SimpleNamespace(**{name: set(cfg[name]) - ON_ONE_CPU.keys() for name in TRAINING_GROUPS})
        callbacks = ",".join(map(str, cfg.callbacks))
        check_rules(DIRECT_FIT_RULES, cfg=cfg, kind=kind, further=further, callbacks=callbacks)
        return cls(**_common(cfg, keep_data))

    @contextmanager
    def naming(self, group: str) -> Iterator[None]:
        """Names the group and its key in what the group's object refuses.

        Raises:
            UserError: In place of a `ValueError` or an `OSError`.
        """
        with _naming(group, getattr(self, group)):
            yield


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """The configuration of a training.

    Args:
        estimator: Of the gradient.
        optimizer: Makes the optimizer and its schedule.
        trainer: Makes Lightning's Trainer.
        evaluation: What is measured.
        callbacks: Further ones of the user's, by name.
    """

    estimator: Estimator
    optimizer: OptimizerFactory
    trainer: TrainerFactory
    evaluation: Evaluation
    callbacks: dict[str, pl.Callback]

    @classmethod
    def of(cls, cfg: DictConfig, keep_data: bool = False) -> "TrainingSettings":
        """The settings of a training.

        Raises:
            UserError: As for every run; also if a group of a training is none.
        """
        check_root(cfg, TrainConfig)
        pl.seed_everything(cfg.seed, verbose=False)  # for constructors of a user's own
        for group in TRAINING_GROUPS:
            if "_target_" in cfg[group]:
                continue
            if cfg[group].keys() - ON_ONE_CPU.keys():
                raise UserError(
                    f"{group}._target_ is missing: the class that the other keys are arguments of."
                )
            raise UserError(f"{group}=none is for a model that fits itself; leave it out.")
        return cls(
            trainer=instantiate(cfg.trainer, "trainer", TrainerFactory),
            optimizer=instantiate(cfg.optimizer, "optimizer", OptimizerFactory),
            estimator=instantiate(cfg.estimator, "estimator", Estimator),
            evaluation=instantiate(cfg.evaluation, "evaluation", Evaluation),
            callbacks=_callbacks(cfg),
            **_common(cfg, keep_data),
        )


def _common(cfg: DictConfig, keep_data: bool) -> dict[str, Any]:
    return {
        "seed": cfg.seed,
        "noise": instantiate(cfg.noise, "noise", NoiseSource, seed=cfg.seed),
        "logger": instantiate(cfg.logger, "logger", Tracking),
        "dataset": _dataset(cfg, keep_data),
        "model": lambda sizes: sized(cfg.model, "model", GenerativeModel, sizes),
        "takes_tables": "encoder" in cfg.model,
    }


def _dataset(cfg: DictConfig, keep: bool) -> SplitDataset:
    key = (str(OmegaConf.to_container(cfg.dataset, resolve=True)), cfg.seed)
    if keep and key in _kept:
        return _kept[key]
    dataset: SplitDataset = instantiate(cfg.dataset, "dataset", SplitDataset)
    dataset.seed = cfg.seed
    if keep:
        _kept.clear()
        _kept[key] = dataset
    return dataset


def _callbacks(cfg: DictConfig) -> dict[str, pl.Callback]:
    return {name: instantiate(node, f"callbacks.{name}", pl.Callback) for name, node in cfg.callbacks.items()}


@contextmanager
def _naming(group: str, made: Any) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        raise UserError(named(error, group, all_parameters(type(made)))) from error


def check_alone(cfg: DictConfig, groups: Set[str]) -> None:
    """Checks settings on which no number depends, without the data and the model.

    Args:
        cfg: The configuration of a run or of what is made of one.
        groups: Which of `trainer`, `logger` and `callbacks`.

    Raises:
        UserError: If one is wrong.
    """
    if "trainer" in groups and "_target_" in cfg.trainer:
        trainer = instantiate(cfg.trainer, "trainer", TrainerFactory)
        with _naming("trainer", trainer):
            trainer.check()
    elif "trainer" in groups:
        known: dict[str, tuple[object, ...]] = {name: (value,) for name, value in ON_ONE_CPU.items()}
        known |= {} if "model" in cfg else {"accelerator": ("cpu", "gpu")}
        for key, values in known.items():
            if (value := cfg.trainer.get(key, values[0])) not in values:
                raise UserError(f"trainer.{key} must be {' or '.join(map(str, values))}, got {value!r}.")
    if "logger" in groups:
        instantiate(cfg.logger, "logger", Tracking)
    if "callbacks" in groups:
        _callbacks(cfg)


def check_root(cfg: DictConfig, schema: type, *further: str) -> None:
    """Checks the root keys against those of a schema and further ones.

    Raises:
        UserError: If one is unknown, of another kind or out of its range.
    """
    known = [*further, *(field.name for field in fields(schema))]
    for key in cfg:
        if key not in known:
            raise UserError(no_such_key(str(key), known))
        if key in GROUPS and not isinstance(cfg[key], DictConfig):
            raise UserError(f"{key} must be one of its group's options, got {cfg[key]!r}.")
    if not isinstance(cfg.seed, int | None):
        raise UserError(f"seed must be int, got {cfg.seed!r}.")
    if cfg.seed is not None and not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed must be at least 0 and below 2^32, got {cfg.seed}.")
