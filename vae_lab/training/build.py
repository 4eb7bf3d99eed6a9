"""The parts of a run, made from its settings and its data, with everything checked that can be before it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from vae_lab.config.rules import Rule, check_rules
from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.likelihoods.support import check_support, extremes
from vae_lab.models.vae import VAE, has_latents
from vae_lab.noise import NoiseSource
from vae_lab.numerics.memory import fitting
from vae_lab.numerics.streamed import subsample
from vae_lab.training.compatibility import MISSING_HINT, hints_for, prepare_estimator, prepare_probe
from vae_lab.training.estimator_probe import EstimatorProbe
from vae_lab.training.evaluation import Evaluation
from vae_lab.training.hints import use
from vae_lab.training.offer import LatentsError, Offer
from vae_lab.training.optimizers import OptimizerFactory
from vae_lab.training.settings import Settings, TrainingSettings
from vae_lab.training.trainer import TrainerFactory

DATA_RULES = (  # rules on the settings, the data and the number of processes
    Rule(
        lambda it: it.dataset.batch_size % it.processes != 0,
        "dataset.batch_size",
        "must be divisible by the number of processes, {processes}, got {dataset.batch_size}.",
    ),
    Rule(
        lambda it: len(it.dataset.data.test.x) == 0,
        "dataset.test_size",
        "must be at least 1: the trained model is measured on that part.",
    ),
    Rule(
        lambda it: it.settings.trainer.select == "best" and len(it.dataset.data.validation.x) == 0,
        "trainer.select=best",
        "needs a validation part, but dataset.validation_size is 0; give it one or use trainer.select=last.",
    ),
)
MODEL_RULES = (  # rules on the settings and the model
    Rule(
        lambda it: it.settings.estimator.has_weight_prior and bool(it.settings.optimizer.weight_decay),
        "optimizer.weight_decay",
        "must be 0 for an estimator whose bound has the prior on the weights already, got "
        "{settings.optimizer.weight_decay:g}.",
    ),
    Rule(
        lambda it: it.settings.trainer.alternate and not it.model.has_encoder,
        "trainer.alternate",
        "lets encoder and decoder take turns, and this model has no encoder; set it to false.",
    ),
)


@dataclass(frozen=True)
class RunParts:
    """Parts of a run.

    Args:
        dataset: Its data.
        model: What is trained or fitted.
        has_density: Whether that is trained as a p(x), as all but autoencoders are.
        noise: Of the run.
        tracking: Where metrics are shown.
        notes: Caveats.
    """

    dataset: SplitDataset
    model: GenerativeModel
    has_density: bool
    noise: NoiseSource
    tracking: Any
    notes: list[str]

    @property
    def vae(self) -> VAE:
        """The model, which must have latent variables.

        Raises:
            UserError: If there are none.
        """
        if not has_latents(self.model):
            raise UserError(f"{type(self.model).__name__} has no latent variables and no bound.")
        return self.model


@dataclass(frozen=True)
class TrainingParts(RunParts):
    """Parts of a training."""

    estimator: Estimator
    evaluation: Evaluation
    optimizer: OptimizerFactory
    trainer_factory: TrainerFactory
    trainer: pl.Trainer


def build_run(settings: Settings, checkpoints: Path) -> RunParts:
    """Builds the parts of a run, a training's or those of a model that fits itself; writes nothing.

    Args:
        settings: Of the run.
        checkpoints: Folder where a trainer will put its checkpoints.

    Raises:
        UserError: If the settings or the data cannot make a run.
    """
    if isinstance(settings, TrainingSettings):
        return build(settings, checkpoints)
    _load(settings)
    model = _model(settings)
    if settings.dataset.incomplete:
        kind = type(model).__name__
        raise UserError(
            f"model: {kind} needs complete data, and {MISSING_HINT}; use a VAE with estimator=miwae."
        )
    notes = [*_check_support(model, settings.dataset), *settings.dataset.notes]
    return RunParts(settings.dataset, model, True, settings.noise, settings.logger, notes)


def build(settings: TrainingSettings, checkpoints: Path) -> TrainingParts:
    """Builds the parts of a training, the seed being applied before the model exists; writes nothing.

    Args:
        settings: Of the training.
        checkpoints: Folder where the trainer will put its checkpoints.

    Raises:
        UserError: If the settings or the data cannot make a training.
    """
    dataset, noise, estimator, evaluation = (
        settings.dataset,
        settings.noise,
        settings.estimator,
        settings.evaluation,
    )
    _load(settings)
    dataset.test_curve = evaluation.test_curve
    dataset.train_curve = evaluation.train_curve
    dataset.updates_per_batch = estimator.updates_per_batch
    with settings.naming("trainer"):
        trainer = settings.trainer.trainer(
            batch_size=dataset.batch_size,
            dataset_size=len(dataset.data.train.x),
            selection=estimator.selection,
            checkpoints=checkpoints,
        )
    check_rules(DATA_RULES, settings=settings, dataset=dataset, processes=trainer.world_size)
    pl.seed_everything(settings.seed, verbose=False)
    try:
        model = _model(settings)
    except LatentsError as error:
        offer = Offer.of_latents(error.latents).in_run(noise, dataset, trainer.world_size)
        hints = use(*hints_for(estimator, offer, "estimator"))
        raise UserError(f"{str(error).removesuffix('.')}{hints}") from error
    prepare_estimator(estimator, "estimator", model, noise, dataset, trainer.world_size)
    with settings.naming("optimizer"):
        settings.optimizer.check()
    check_rules(MODEL_RULES, settings=settings, model=model)
    evaluation.check(model, estimator)
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for name, callback in settings.callbacks.items():
        _prepare_callback(f"callbacks.{name}", callback, model, settings)
        callbacks.append(callback)
    notes = _check_support(model, dataset) + ([estimator.bias] if estimator.bias else [])
    notes += [estimator.objective] if estimator.objective else []
    notes += [*evaluation.notes(model, estimator), *dataset.notes]
    if dataset.incomplete:
        notes.append("bounds of data that miss pixels are those of the observed ones alone")
    return TrainingParts(
        dataset,
        model,
        estimator.has_density,
        noise,
        settings.logger,
        notes,
        estimator,
        evaluation,
        settings.optimizer,
        settings.trainer,
        trainer,
    )


def _load(settings: Settings) -> None:
    with settings.naming("dataset"):
        settings.dataset.setup()


def _model(settings: Settings) -> GenerativeModel:
    dataset = settings.dataset
    x = dataset.data.train.x
    if len(dataset.shape) == 2 and not settings.takes_tables:
        raise UserError(
            f"model: the data are a table of shape {dataset.shape}, and this model describes pixels; use "
            "model=logistic_regression."
        )
    sizes = {
        "data_shape": dataset.shape,
        "dataset_size": len(x),
        "mean_datum": lambda: subsample(x).nanmean(0),
    }
    try:
        with fitting("the networks"):
            model = settings.model(sizes)
    except ValueError as error:
        raise UserError(f"model: {error}") from error
    if dataset.sees_parts and model.encodes_whole_data:
        raise UserError(
            "model.encoder: needs the whole datum, of which a training step sees dataset.rows; use "
            "model/encoder=constant or dataset.rows=null."
        )
    return model


def _prepare_callback(key: str, callback: pl.Callback, model: GenerativeModel, settings: Settings) -> None:
    if isinstance(callback, EstimatorProbe):
        keys = {each: f"{key}.estimators.{each}" for each in callback.estimators}
        of_run = (model, settings.noise, settings.dataset)
        prepare_probe(f"{key}.probe", callback.probe, keys, callback.estimators, *of_run)


def _check_support(model: GenerativeModel, dataset: SplitDataset) -> list[str]:
    """Checks that the model can score the data; returns caveats on its log-likelihoods."""
    data = dataset.data
    if has_latents(model) and model.prior.needs_encoder:
        low, high = extremes(subsample(data.train.x))
        if not (low >= 0 and high <= 1):
            raise UserError(
                f"model.prior: {type(model.prior).__name__} has pseudo-inputs in [0, 1], and these data go "
                f"from {low:.3g} to {high:.3g}; use another prior."
            )
    if not model.is_over_pixels:
        return []
    try:
        looked_at = [subsample(part.x) for part in (data.test, data.train)]
        kind = (model.scorer_name, model.support, model.levels)
        return check_support(*kind, *looked_at, scale_hint=dataset.scale_hint)
    except ValueError as error:
        raise UserError(f"model.likelihood: {error}") from error
