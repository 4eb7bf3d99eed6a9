"""Lets what an estimator keeps find its level at a model that stands still."""

from collections.abc import Iterable

import torch

from vae_lab.estimators.base import Estimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

LEARNING_RATE = 1e-3


def warm_up(estimator: Estimator, vae: VAE, batches: Iterable[Batch], noise: NoiseSource) -> None:
    """Updates running averages, and trains the networks of baselines by Adam, on a batch after another.

    An estimator that keeps nothing costs one batch.

    Args:
        estimator: The estimator, which is changed.
        vae: The model, which is not.
        batches: Minibatches; those of later epochs hold the data that will be probed too.
        noise: Source of the noise.
    """
    parameters = list(estimator.parameters())
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE) if parameters else None
    for step, batch in enumerate(batches):
        eps = batch.draw_for_step(noise, estimator.noise_spec(vae, batch), "warm up", step)
        with torch.set_grad_enabled(optimizer is not None):
            estimate = estimator(vae, batch, eps)
        if optimizer is None and not estimate.statistics:
            return
        if optimizer is not None:
            gradients = torch.autograd.grad(-estimate.surrogate.mean(), parameters)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        estimator.update({name: values.mean() for name, values in estimate.statistics.items()})
