"""The gradient of a log-likelihood that is known."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vae_lab.estimators.base import Estimate, Estimator, Needs
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSpec


class MaximumLikelihood(Estimator):
    r"""$\nabla_\theta \log p_\theta(x)$, for models that have it without latent variables.

    It uses no noise.
    """

    target = "log_likelihood"
    selection = "log_likelihood"
    requires = frozenset({Needs.LOG_LIKELIHOOD, Needs.COMPLETE_DATA})

    def noise_spec(self, vae: Any, batch: Batch) -> dict[str, NoiseSpec]:
        return {}

    def forward(self, vae: Any, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        log_likelihood = vae.log_prob(batch.x)
        return Estimate(log_likelihood, log_likelihood, {"log_likelihood": log_likelihood.detach()})
