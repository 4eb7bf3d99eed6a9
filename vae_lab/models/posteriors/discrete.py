"""The base of posteriors of discrete latent variables."""

from typing import TypeGuard

import torch
from torch import Tensor

from vae_lab.models.distributions.discrete import DiscreteDistribution
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.noise import BaseDistribution

MAX_STATES = 1024  # that are summed over


class Discrete(Posterior):
    """A product of distributions with finitely many values, its encoder giving logits.

    Attributes:
        num_states: How many values a latent vector has.
    """

    base_distribution: BaseDistribution = "uniform"
    is_reparameterized = False
    num_states: int

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
        self.outputs = {"logits": latent_dim}

    def forward(self, outputs: Tensor) -> DiscreteDistribution:
        raise NotImplementedError

    def states(self) -> Tensor:
        """All values of a latent vector, `(num_states, D)`."""
        raise NotImplementedError


def is_enumerable(posterior: Posterior) -> TypeGuard[Discrete]:
    """Whether latent variables have so few values that one can sum over them."""
    return isinstance(posterior, Discrete) and posterior.num_states <= MAX_STATES


def all_values(choices: Tensor, count: int) -> Tensor:
    """Every way to take one of `choices` `(C, W)` so many times, side by side, `(C^number, number W)`."""
    ways = torch.cartesian_prod(*[torch.arange(len(choices))] * count).reshape(-1, count)
    return choices[ways].flatten(1)
