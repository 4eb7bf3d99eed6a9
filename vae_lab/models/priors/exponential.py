"""The standard exponential prior."""

import torch
from torch import Tensor

from vae_lab.models.distributions.prior import FactorisedPrior, Support
from vae_lab.noise import BaseDistribution, open_interval


class StandardExponential(FactorisedPrior):
    r"""$p(z) = \prod_d e^{-z_d}$ on positive z, and nothing elsewhere.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> StandardExponential(1).log_prob(torch.tensor([[[2.0]], [[-1.0]]])).flatten().tolist()
        [-2.0, -inf]
    """

    base_distribution: BaseDistribution = "uniform"
    support: Support = "positive"

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return torch.where(z >= 0, -z, -torch.inf)

    def sample(self, eps: Tensor) -> Tensor:
        return -(-open_interval(eps)).log1p()
