"""The standard Cauchy prior."""

import math

import torch
from torch import Tensor

from vae_lab.models.distributions.prior import FactorisedPrior
from vae_lab.noise import BaseDistribution, open_interval


class StandardCauchy(FactorisedPrior):
    r"""$p(z) = \prod_d 1 / (\pi (1 + z_d^2))$.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> round(StandardCauchy(1).log_prob(torch.zeros(1, 1, 1)).item(), 4)
        -1.1447
    """

    base_distribution: BaseDistribution = "uniform"

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return log_density(z)

    def sample(self, eps: Tensor) -> Tensor:
        return cauchy_quantile(open_interval(eps))


def log_density(z: Tensor) -> Tensor:
    """log of the standard density; the square of z may be too large for its precision."""
    return -2 * torch.hypot(z, torch.ones_like(z)).log() - math.log(math.pi)


def cauchy_quantile(uniform: Tensor) -> Tensor:
    """tan(pi (u - 1/2)), by the distance from the nearer end, to which u may be close."""
    tail = torch.minimum(uniform, 1 - uniform)
    return (uniform - 0.5).sign() / torch.tan(math.pi * tail)
