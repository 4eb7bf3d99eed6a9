"""Bernoulli priors."""

import torch
from torch import Tensor, nn

from vae_lab.models.distributions.discrete import BernoulliDistribution
from vae_lab.models.distributions.prior import FactorisedPrior, Support
from vae_lab.noise import BaseDistribution


class Bernoulli(FactorisedPrior):
    r"""Binary latent variables, each 1 with probability one half, or with one that is learned.

    Args:
        latent_dim: `D`, at least 1.
        learned: Whether the probabilities are learned; they begin at one half.

    Example:
        >>> round(Bernoulli(2).log_prob(torch.tensor([[[0.0, 1.0]]])).item(), 4)
        -1.3863
    """

    base_distribution: BaseDistribution = "uniform"
    logits: Tensor
    support: Support = "binary"

    def __init__(self, latent_dim: int, learned: bool = False) -> None:
        super().__init__(latent_dim)
        if learned:
            self.logits = nn.Parameter(torch.zeros(latent_dim))
        else:
            self.register_buffer("logits", torch.zeros(latent_dim))

    @property
    def distribution(self) -> BernoulliDistribution:
        """p(z)."""
        return BernoulliDistribution(self.logits)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return self.distribution.log_prob_per_dimension(z)

    def sample(self, eps: Tensor) -> Tensor:
        return self.distribution.transform(eps)
