"""From configuration to dataset, model and estimator, with everything checked that can be before a run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytorch_lightning as pl
from omegaconf import DictConfig

from vae_lab.datasets.base import InMemoryDataset
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator
from vae_lab.optimizers import OptimizerFactory
from vae_lab.orchestration.instantiate import instantiate
from vae_lab.training import TrainerFactory
from vae_lab.vae import VAE


class Parts(NamedTuple):
    """What a run is made of."""

    dataset: InMemoryDataset
    vae: VAE
    estimator: Estimator
    optimizer: OptimizerFactory
    trainer: TrainerFactory
    tracking: Any
    notes: list[str]


def build(cfg: DictConfig) -> Parts:
    """Builds the parts of a run, the seed being applied before the model exists.

    Raises:
        UserError: If the configuration or the data cannot make a run.
    """
    trainer = instantiate(cfg.trainer, "trainer")
    optimizer = instantiate(cfg.optimizer, "optimizer")
    estimator = instantiate(cfg.estimator, "estimator")
    tracking = instantiate(cfg.logger, "logger")
    dataset = _load(instantiate(cfg.dataset, "dataset"), cfg.seed)
    _check_evaluation(cfg, trainer, dataset)
    pl.seed_everything(cfg.seed, verbose=False)
    vae = instantiate(cfg.model, "model", data_shape=dataset.shape)
    try:
        estimator.check(vae)
    except ValueError as error:
        raise UserError(f"estimator: {error}") from error
    notes = _check_support(vae, dataset)
    return Parts(dataset, vae, estimator, optimizer, trainer, tracking, notes)


def build_vae(
    data_shape: Sequence[int],
    latent_dim: int,
    encoder: Any,
    decoder: Any,
    posterior: Any,
    likelihood: Any,
    prior: Any,
) -> VAE:
    """A VAE whose networks have the shapes that data, posterior and likelihood ask for.

    Args:
        data_shape: Shape of one datum.
        latent_dim: `D`, from 1 to 1000 and beyond.
        encoder: Configuration of a network.
        decoder: Configuration of a network.
        posterior: Configuration of a posterior family.
        likelihood: Configuration of a likelihood family.
        prior: Configuration of a prior.

    Raises:
        UserError: If `latent_dim` is below 1 or a part refuses its arguments.
    """
    if latent_dim < 1:
        raise UserError(f"model.latent_dim must be at least 1, got {latent_dim}.")
    q = instantiate(posterior, "model.posterior", latent_dim=latent_dim)
    p = instantiate(likelihood, "model.likelihood")
    outputs = (p.num_outputs * data_shape[0], *data_shape[1:])
    return VAE(
        instantiate(encoder, "model.encoder", in_shape=data_shape, out_shape=(q.num_outputs,)),
        instantiate(decoder, "model.decoder", in_shape=(latent_dim,), out_shape=outputs),
        q,
        p,
        instantiate(prior, "model.prior", latent_dim=latent_dim),
        latent_dim,
    )


def _load(dataset: InMemoryDataset, seed: int) -> InMemoryDataset:
    dataset.seed = seed
    try:
        dataset.setup()
    except (ValueError, OSError) as error:
        raise UserError(f"dataset: {error}") from error
    return dataset


def _check_evaluation(cfg: DictConfig, trainer: TrainerFactory, dataset: InMemoryDataset) -> None:
    if not isinstance(cfg.evaluation.importance_samples, int) or cfg.evaluation.importance_samples < 1:
        raise UserError(
            "evaluation.importance_samples must be a whole number of at least 1, got "
            f"{cfg.evaluation.importance_samples!r}."
        )
    if trainer.select == "best" and len(dataset.data.validation.x) == 0:
        raise UserError(
            "trainer.select=best needs a validation part, but dataset.validation_size is 0; give it one or "
            "use trainer.select=last."
        )


def _check_support(vae: VAE, dataset: InMemoryDataset) -> list[str]:
    """Checks that the likelihood can be that of the data; gives what must be said of it in the results."""
    name = type(vae.likelihood).__name__
    if vae.likelihood.support != "unit_interval":
        return []
    low, high = (float(bound) for bound in dataset.data.train.x.aminmax())
    if low < 0 or high > 1:
        raise UserError(
            f"model.likelihood: {name} needs data in [0, 1], but the data go from {low:.3g} to {high:.3g}; "
            "use model/likelihood=gaussian."
        )
    x = dataset.data.test.x  # binarised, where the training data are binarised on the fly
    if bool(((x == 0) | (x == 1)).all()):
        return []
    return [f"{name} on grey values is a cross-entropy with soft targets, not a likelihood"]
