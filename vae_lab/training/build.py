"""From configuration to dataset, model and estimator, with everything checked that can be before a run."""

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from vae_lab.config.instantiate import instantiate, makes, named, unknown_key
from vae_lab.config.schema import GROUPS, TRAINING_GROUPS, TrainConfig
from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator
from vae_lab.models.alternatives.base import Alternative, SelfFitting
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.likelihoods.support import check_support, extremes
from vae_lab.models.networks import Constant
from vae_lab.models.vae import VAE
from vae_lab.noise import NoiseSource
from vae_lab.numerics.memory import fitting
from vae_lab.numerics.streamed import some
from vae_lab.tracking import Tracking
from vae_lab.training import TrainerFactory
from vae_lab.training.build_model import sized
from vae_lab.training.compatibility import MISS, hints_for, prepare_estimator, prepare_probe
from vae_lab.training.estimator_probe import EstimatorProbe
from vae_lab.training.evaluation import Evaluation
from vae_lab.training.hints import use
from vae_lab.training.offer import LatentsError, Offer
from vae_lab.training.optimizers import OptimizerFactory

Model = VAE | Alternative
Load = Callable[[DictConfig], SplitDataset]

_kept: dict[Any, SplitDataset] = {}  # of `load_once`


@dataclass(frozen=True)
class Parts:
    """What every run is made of."""

    dataset: SplitDataset
    model: Model
    noise: NoiseSource
    tracking: Any
    notes: list[str]

    @property
    def vae(self) -> VAE:
        """The model, where it must be a VAE.

        Raises:
            UserError: If it is none.
        """
        if not isinstance(self.model, VAE):
            raise UserError(f"{type(self.model).__name__} is no VAE: it has neither z nor a bound.")
        return self.model

    @property
    def has_density(self) -> bool:
        """Whether the model is trained as a p(x), as all but autoencoders are."""
        return True


@dataclass(frozen=True)
class TrainingParts(Parts):
    """What a training is made of."""

    estimator: Estimator
    evaluation: Evaluation
    optimizer: OptimizerFactory
    settings: TrainerFactory
    trainer: pl.Trainer

    @property
    def has_density(self) -> bool:
        return self.estimator.target != "reconstruction"


def load_dataset(cfg: DictConfig) -> SplitDataset:
    """The dataset of a run's configuration.

    Raises:
        UserError: If it cannot be made, or its files are not there or not right.
    """
    dataset: SplitDataset = instantiate(cfg.dataset, "dataset", SplitDataset)
    dataset.seed = cfg.seed
    try:
        dataset.setup()
    except (ValueError, OSError) as error:
        raise UserError(named(error, "dataset", cfg.dataset)) from error
    return dataset


def load_once(cfg: DictConfig) -> SplitDataset:
    """That of `load_dataset`, kept until another is asked for: for checking many configurations of one."""
    key = (str(OmegaConf.to_container(cfg.dataset, resolve=True)), cfg.seed)
    if key not in _kept:
        _kept.clear()
        _kept[key] = load_dataset(cfg)
    return _kept[key]


def build_run(cfg: DictConfig, checkpoints: Path, load: Load = load_dataset) -> Parts:
    """Builds the parts of a run, a training's or those of a model that fits itself; writes nothing.

    Args:
        cfg: The run's configuration.
        checkpoints: Folder where a trainer will put its checkpoints.
        load: Gives the dataset; `load_once` for parts that nobody keeps.

    Raises:
        UserError: If the configuration or the data cannot make a run.
    """
    check_root(cfg, TrainConfig)
    if makes(cfg.model, "model", SelfFitting):
        return _self_fitting(cfg, load)
    return build(cfg, checkpoints, load)


def build(cfg: DictConfig, checkpoints: Path, load: Load = load_dataset) -> TrainingParts:
    """Builds the parts of a training, the seed being applied before the model exists; writes nothing.

    Args:
        cfg: The run's configuration.
        checkpoints: Folder where the trainer will put its checkpoints.
        load: Gives the dataset.

    Raises:
        UserError: If the configuration or the data cannot make a training.
    """
    check_root(cfg, TrainConfig)
    for group in TRAINING_GROUPS:
        if "_target_" not in cfg[group]:
            raise UserError(f"{group}=none is for a model that fits itself; leave it out.")
    settings = instantiate(cfg.trainer, "trainer", TrainerFactory)
    optimizer = instantiate(cfg.optimizer, "optimizer", OptimizerFactory)
    estimator = instantiate(cfg.estimator, "estimator", Estimator)
    noise = instantiate(cfg.noise, "noise", NoiseSource, seed=cfg.seed)
    evaluation = instantiate(cfg.evaluation, "evaluation", Evaluation)
    tracking = instantiate(cfg.logger, "logger", Tracking)
    dataset = load(cfg)
    dataset.test_curve = evaluation.test_curve
    dataset.train_curve = evaluation.train_curve
    dataset.updates_per_batch = estimator.updates_per_batch
    trainer = _trainer(settings, dataset, estimator, checkpoints, cfg)
    _check_split(settings, dataset, trainer.world_size)
    pl.seed_everything(cfg.seed, verbose=False)
    try:
        model = _model(cfg, dataset)
    except LatentsError as error:
        offer = Offer.of_latents(error.latents).in_run(noise, dataset, trainer.world_size)
        hints = use(*hints_for(estimator, offer, "estimator"))
        raise UserError(f"{str(error).removesuffix('.')}{hints}") from error
    prepare_estimator(estimator, "estimator", model, noise, dataset, trainer.world_size)
    try:
        optimizer.check()
    except ValueError as error:
        raise UserError(named(error, "optimizer", cfg.optimizer)) from error
    if estimator.has_weight_prior and optimizer.weight_decay:
        raise UserError(
            "optimizer.weight_decay must be 0 for an estimator whose bound has the prior on the weights "
            f"already, got {optimizer.weight_decay:g}."
        )
    if settings.alternate and not model.has_encoder:
        raise UserError(
            "trainer.alternate lets encoder and decoder take turns, and this model has no encoder; set it to "
            "false."
        )
    try:
        evaluation.check(model, estimator)
    except ValueError as error:
        raise UserError(named(error, "evaluation", cfg.evaluation)) from error
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks += _callbacks(cfg, model, noise, dataset)
    notes = _check_support(model, dataset) + ([estimator.bias] if estimator.bias else [])
    notes += [estimator.objective] if estimator.objective else []
    notes += [*evaluation.notes(model, estimator), *dataset.notes]
    if dataset.incomplete:
        notes.append("bounds of data that miss pixels are those of the observed ones alone")
    return TrainingParts(
        dataset, model, noise, tracking, notes, estimator, evaluation, optimizer, settings, trainer
    )


def check_alone(cfg: DictConfig, groups: Set[str]) -> None:
    """Checks settings on which no number depends, without the data and the model.

    Args:
        cfg: The configuration of a run or of what is made of one.
        groups: Which of `trainer`, `logger` and `callbacks`.

    Raises:
        UserError: If one is wrong.
    """
    if "trainer" in groups and "_target_" in cfg.trainer:
        settings = instantiate(cfg.trainer, "trainer", TrainerFactory)
        with _naming_trainer(cfg):
            settings.check()
    elif "trainer" in groups:
        known = {
            "accelerator": ("cpu",) if "model" in cfg else ("cpu", "gpu"),
            "devices": (1,),
            "num_nodes": (1,),
        }
        for key, values in known.items():
            if (value := cfg.trainer.get(key, values[0])) not in values:
                raise UserError(f"trainer.{key} must be {' or '.join(map(str, values))}, got {value!r}.")
    if "logger" in groups:
        instantiate(cfg.logger, "logger", Tracking)
    for name in cfg.callbacks if "callbacks" in groups else ():
        instantiate(cfg.callbacks[name], f"callbacks.{name}", pl.Callback)


def _self_fitting(cfg: DictConfig, load: Load) -> Parts:
    """The parts of a run whose model fits itself: no estimator, optimizer, trainer or evaluation."""
    kind = str(cfg.model["_target_"]).rsplit(".", 1)[-1]
    for group in TRAINING_GROUPS:
        if set(cfg[group]) - {"accelerator", "devices", "num_nodes"}:
            raise UserError(f"{group} must be none, as {kind} fits itself; leave it out.")
    for key, value in {"accelerator": "cpu", "devices": 1, "num_nodes": 1}.items():
        if cfg.trainer[key] != value:
            raise UserError(
                f"trainer.{key} must be {value}, as {kind} fits itself in one process, got "
                f"{cfg.trainer[key]}."
            )
    if cfg.callbacks:
        raise UserError(f"callbacks must be none, as {kind} fits itself, got {','.join(cfg.callbacks)}.")
    noise = instantiate(cfg.noise, "noise", NoiseSource, seed=cfg.seed)
    tracking = instantiate(cfg.logger, "logger", Tracking)
    dataset = load(cfg)
    if dataset.incomplete:
        raise UserError(f"model: {kind} needs complete data, and {MISS}; use a VAE with estimator=miwae.")
    model = _model(cfg, dataset)
    return Parts(dataset, model, noise, tracking, [*_check_support(model, dataset), *dataset.notes])


def _model(cfg: DictConfig, dataset: SplitDataset) -> Model:
    x = dataset.data.train.x
    if len(dataset.shape) == 2 and "encoder" not in cfg.model:
        raise UserError(
            f"model: the data are a table of shape {dataset.shape}, and this model describes pixels; use "
            "model=logistic_regression."
        )
    sizes = {"data_shape": dataset.shape, "dataset_size": len(x), "mean_datum": lambda: some(x).nanmean(0)}
    try:
        with fitting("the networks"):
            model: Model = sized(cfg.model, "model", Model, sizes)
    except ValueError as error:
        raise UserError(f"model: {error}") from error
    networks = isinstance(model, VAE) and model.is_amortized and not isinstance(model.encoder, Constant)
    if dataset.sees_parts and networks:
        raise UserError(
            "model.encoder: it is made for the whole datum, of which a training step sees dataset.rows; use "
            "model/encoder=constant or dataset.rows=null."
        )
    return model


def _callbacks(cfg: DictConfig, vae: Model, noise: NoiseSource, dataset: SplitDataset) -> list[pl.Callback]:
    callbacks = []
    for name in cfg.callbacks:
        key = f"callbacks.{name}"
        callback = instantiate(cfg.callbacks[name], key, pl.Callback)
        if isinstance(callback, EstimatorProbe):
            keys = {each: f"{key}.estimators.{each}" for each in callback.estimators}
            prepare_probe(f"{key}.probe", callback.probe, keys, callback.estimators, vae, noise, dataset)
        callbacks.append(callback)
    return callbacks


def check_root(cfg: DictConfig, schema: type, *further: str) -> None:
    """Checks the root keys against those of a schema and further ones.

    Raises:
        UserError: If one is unknown, of another kind or out of its range.
    """
    known = [*further, *(field.name for field in fields(schema))]
    for key in cfg:
        if key not in known:
            raise UserError(unknown_key(str(key), known))
        if key in GROUPS and not isinstance(cfg[key], DictConfig):
            raise UserError(f"{key} must be one of its group's options, got {cfg[key]!r}.")
    if not isinstance(cfg.seed, int | None):
        raise UserError(f"seed must be int, got {cfg.seed!r}.")
    if cfg.seed is not None and not 0 <= cfg.seed < 2**32:
        raise UserError(f"seed must be at least 0 and below 2^32, got {cfg.seed}.")


def _trainer(
    settings: TrainerFactory,
    dataset: SplitDataset,
    estimator: Estimator,
    checkpoints: Path,
    cfg: DictConfig,
) -> pl.Trainer:
    with _naming_trainer(cfg):
        return settings.trainer(
            batch_size=dataset.batch_size,
            dataset_size=len(dataset.data.train.x),
            selection=estimator.selection,
            checkpoints=checkpoints,
        )


@contextmanager
def _naming_trainer(cfg: DictConfig) -> Iterator[None]:
    """Names the key in what Lightning's Trainer refuses."""
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException) as error:
        raise UserError(named(error, "trainer", cfg.trainer)) from error


def _check_split(settings: TrainerFactory, dataset: SplitDataset, world_size: int) -> None:
    if dataset.batch_size % world_size:
        raise UserError(
            f"dataset.batch_size must be divisible by the number of processes, {world_size}, got "
            f"{dataset.batch_size}."
        )
    if len(dataset.data.test.x) == 0:
        raise UserError("dataset.test_size must be at least 1: the trained model is measured on that part.")
    if settings.select == "best" and len(dataset.data.validation.x) == 0:
        raise UserError(
            "trainer.select=best needs a validation part, but dataset.validation_size is 0; give it one or "
            "use trainer.select=last."
        )


def _check_support(model: Model, dataset: SplitDataset) -> list[str]:
    """Checks that the model can score the data; gives what must be said of its log-likelihoods."""
    scorer = model.likelihood if isinstance(model, VAE) else model
    data = dataset.data
    if isinstance(model, VAE) and model.prior.needs_encoder:
        low, high = extremes(some(data.train.x))
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"model.prior: {type(model.prior).__name__} has pseudo-inputs in [0, 1], and these data go "
                f"from {low:.3g} to {high:.3g}; use another prior."
            )
    if isinstance(scorer, Likelihood) and not scorer.describes_pixels:
        return []
    try:
        looked_at = [some(part.x) for part in (data.test, data.train)]
        return check_support(type(scorer).__name__, scorer.support, scorer.levels, *looked_at)
    except ValueError as error:
        raise UserError(f"model.likelihood: {error}") from error
