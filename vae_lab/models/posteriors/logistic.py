"""Logistic posteriors."""

import math

import torch.nn.functional as F
from torch import Tensor

from vae_lab.models.posteriors.location_scale import LocationScale


class Logistic(LocationScale):
    r"""Logistic distributions, $p(e) = e^{-e} / (1 + e^{-e})^2$, with $\mathbb{E} e^2 = \pi^2 / 3$.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> import torch
        >>> q = Logistic(latent_dim=2)(torch.zeros(1, 4))
        >>> [round(value, 3) for value in q.transform(torch.tensor([[[0.5, 0.9]]])).flatten().tolist()]
        [0.0, 2.197]
    """

    standard_entropy = 2.0
    second_moment = math.pi**2 / 3

    def quantile(self, uniform: Tensor) -> Tensor:
        return uniform.logit()

    def log_density(self, e: Tensor) -> Tensor:
        return -e - 2 * F.softplus(-e)
