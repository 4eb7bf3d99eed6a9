"""The standard normal prior."""

import math

from torch import Tensor

from vae_lab.models.distributions.prior import FactorisedPrior
from vae_lab.noise import BaseDistribution


class StandardNormal(FactorisedPrior):
    r"""p(z) = N(0, I).

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 3.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> import torch
        >>> round(StandardNormal(2).log_prob(torch.zeros(1, 1, 2)).item(), 4)
        -1.8379
    """

    base_distribution: BaseDistribution = "normal"
    is_standard_normal = True

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(-1) - 0.5 * self.latent_dim * math.log(2 * math.pi)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return -0.5 * z.square() - 0.5 * math.log(2 * math.pi)

    def sample(self, eps: Tensor) -> Tensor:
        return eps
