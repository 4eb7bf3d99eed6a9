"""Estimators and probes made ready for a model and its data, or refused where they cannot serve them."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError
from vae_lab.estimators import MaximumLikelihood
from vae_lab.estimators.base import Estimator
from vae_lab.models.alternatives.base import Alternative
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, NoiseSpec
from vae_lab.numerics.memory import check_fits, fitting
from vae_lab.probe.settings import ProbeSettings

NEEDS_NETWORK = (
    "it measures gradients of a network q(z|x), which model/encoder=none or per_datum and models other than "
    "VAEs do not have; use another."
)

MISS = "these miss pixels (dataset.missing, or values that are not a number)"


def prepare_estimator(
    estimator: Estimator,
    key: str,
    vae: Any,
    noise: NoiseSource,
    dataset: SplitDataset,
    world_size: int = 1,
) -> None:
    """Checks that an estimator can serve the model with this noise, and makes what depends on the data.

    Raises:
        UserError: If it cannot; the message begins with `key`.
    """
    try:
        _check_encoder(estimator, vae)
        estimator.check(vae)
        if dataset.incomplete and not estimator.accepts_missing:
            raise ValueError(f"it needs complete data, and {MISS}; use estimator=miwae.")
        if estimator.needs_independent_samples and not noise.independent_samples:
            raise ValueError(
                f"it compares a datum's samples, which {type(noise).__name__} makes dependent, and would be "
                "biased; use noise=independent."
            )
        if estimator.keeps_data and world_size > 1:
            raise ValueError(
                f"it keeps something for each datum, which {world_size} processes would have to share; use "
                "trainer.devices=1."
            )
        if estimator.couples_data and world_size > 1:
            raise ValueError(
                f"it couples the data of a batch, which {world_size} processes would share; use "
                "trainer.devices=1 or another baseline."
            )
        if estimator.reads_data and dataset.sees_parts:
            raise ValueError(
                "it has a network of the whole datum, of which a training step sees dataset.rows alone; use "
                "another estimator or dataset.rows=null."
            )
        if estimator.mirrors_noise and noise.mirrors:
            raise ValueError(
                f"it mirrors its noise itself, so that of {type(noise).__name__} each pair would come twice; "
                "use noise=independent."
            )
        specs = estimator.noise_spec(vae, _one_datum(dataset))
        if not specs and type(noise) is not NoiseSource:
            raise ValueError(f"it has no noise, and {type(noise).__name__} no effect; use noise=independent.")
        _check_memory(specs, vae, dataset)
        noise.training(specs, purpose="check", step=0, batch_size=1)
        with fitting("its networks"):
            estimator.prepare(vae, dataset.shape, len(dataset.data.train.x))
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error


def prepare_probe(
    key: str,
    settings: ProbeSettings,
    keys: Mapping[str, str],
    estimators: Mapping[str, Estimator],
    vae: Any,
    noise: NoiseSource,
    dataset: SplitDataset,
) -> None:
    """Checks that a probe can measure the estimators, and prepares them.

    Raises:
        UserError: If it cannot; the message names the key, that of an estimator being its entry in `keys`.
    """
    if not vae.is_amortized:
        raise UserError(f"{key}: {NEEDS_NETWORK}")
    if vae.prior.needs_encoder:
        raise UserError(
            f"{key}: it takes the encoder's gradient through q(z|x) alone, and {type(vae.prior).__name__} "
            "has the encoder in p(z) too; use another model/prior."
        )
    if dataset.incomplete:
        raise UserError(f"{key}: it measures gradients on complete data, and {MISS}.")
    try:
        settings.check(dataset)
    except ValueError as error:
        raise UserError(f"{key}.{error}") from error
    for name, estimator in estimators.items():
        prepare_estimator(estimator, keys[name], vae, noise, dataset)
        specs = estimator.noise_spec(vae, _one_datum(dataset))
        if any(spec.shared for spec in specs.values()):
            raise UserError(
                f"{keys[name]}: it draws weights for a whole batch, and the probe measures datum by datum."
            )
        if not specs:
            raise UserError(
                f"{keys[name]}: it uses no noise, so that its gradient has no variance to measure."
            )


def _check_encoder(estimator: Estimator, vae: VAE | Alternative) -> None:
    if isinstance(vae, Alternative) != isinstance(estimator, MaximumLikelihood):
        if isinstance(vae, Alternative):
            raise ValueError(
                f"it needs a bound, and {type(vae).__name__} has log p(x) itself; use "
                "estimator=maximum_likelihood."
            )
        raise ValueError("it needs log p(x) itself, and a VAE has a bound; use estimator=reparameterized.")
    if estimator.needs_encoder and not vae.has_encoder:
        raise ValueError(
            "it needs q(z|x), and model/encoder=none has none; use another encoder, or "
            "estimator=monte_carlo_em."
        )
    if estimator.needs_amortization and not vae.is_amortized:
        raise ValueError(
            "it asks q(z|x) of data that it dreams, and model/encoder=per_datum knows the training data "
            "alone; use another encoder."
        )


def _check_memory(specs: Mapping[str, NoiseSpec], vae: Any, dataset: SplitDataset) -> None:
    """Raises `ValueError` if a batch's noise, or what the decoder makes of it, cannot fit into memory."""
    pixels = math.prod(dataset.shape) if isinstance(vae, VAE) else 1
    for _, samples, event, is_shared in specs.values():
        rows = samples * (1 if is_shared else dataset.batch_size)
        size = max(math.prod(event), 1 if is_shared else pixels)
        check_fits(rows * size, f"num_samples={samples} with dataset.batch_size={dataset.batch_size}")


def _one_datum(dataset: SplitDataset) -> Batch:
    """A batch of one datum."""
    return Batch(dataset.data.train.x[:1], torch.zeros(1, dtype=torch.long))
