"""Categorical priors."""

import torch
from torch import Tensor, nn

from vae_lab.models.distributions.discrete import CategoricalDistribution
from vae_lab.models.distributions.prior import FactorisedPrior, Support
from vae_lab.noise import BaseDistribution


class Categorical(FactorisedPrior):
    r"""One-hot vectors side by side, their categories equally probable, or with what is learned.

    Args:
        latent_dim: `D`, a multiple of `num_categories`.
        num_categories: `C`, at least 2.
        learned: Whether the probabilities are learned; they begin equal.

    Raises:
        ValueError: If `num_categories` is below 2, or does not divide `latent_dim`.

    Example:
        >>> round(Categorical(4, num_categories=4).log_prob(torch.tensor([[[0.0, 1, 0, 0]]])).item(), 4)
        -1.3863
    """

    factorises = False  # the numbers of a vector exclude each other
    base_distribution: BaseDistribution = "uniform"
    logits: Tensor
    support: Support = "one-hot"

    def __init__(self, latent_dim: int, num_categories: int = 10, learned: bool = False) -> None:
        super().__init__(latent_dim)
        check_categories(latent_dim, num_categories)
        self.num_categories = num_categories
        if learned:
            self.logits = nn.Parameter(torch.zeros(latent_dim))
        else:
            self.register_buffer("logits", torch.zeros(latent_dim))

    @property
    def distribution(self) -> CategoricalDistribution:
        """p(z)."""
        return CategoricalDistribution(self.logits, self.num_categories)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return self.distribution.log_prob_per_dimension(z)

    def sample(self, eps: Tensor) -> Tensor:
        return self.distribution.transform(eps)


def check_categories(latent_dim: int, num_categories: int) -> None:
    """Raises `ValueError` if `latent_dim` numbers cannot be vectors of so many categories."""
    if num_categories < 2:
        raise ValueError(f"num_categories must be at least 2, got {num_categories}.")
    if latent_dim % num_categories:
        raise ValueError(
            f"latent_dim must be a multiple of num_categories={num_categories}, got {latent_dim}."
        )
