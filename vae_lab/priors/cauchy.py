"""The standard Cauchy prior."""

import math

import torch
from torch import Tensor

from vae_lab.noise import Law, open_interval
from vae_lab.priors.base import FactorisedPrior


class StandardCauchy(FactorisedPrior):
    r"""$p(z) = \prod_d 1 / (\pi (1 + z_d^2))$.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> round(StandardCauchy(1).log_prob(torch.zeros(1, 1, 1)).item(), 4)
        -1.1447
    """

    noise_law: Law = "uniform"

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return -z.square().log1p() - math.log(math.pi)

    def sample(self, eps: Tensor) -> Tensor:
        return torch.tan(math.pi * (open_interval(eps) - 0.5))
