"""Laplace posteriors."""

import math

import torch
from torch import Tensor

from vae_lab.models.posteriors.location_scale import LocationScale


class Laplace(LocationScale):
    r"""Laplace distributions, $\log p(e) = -|e| - \log 2$, with $\mathbb{E} e^2 = 2$.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> q = Laplace(latent_dim=2)(torch.zeros(1, 4))
        >>> [round(value, 3) for value in q.transform(torch.tensor([[[0.5, 0.9]]])).flatten().tolist()]
        [0.0, 1.609]
    """

    standard_entropy = 1 + math.log(2)
    second_moment = 2.0

    def quantile(self, uniform: Tensor) -> Tensor:
        return torch.where(uniform < 0.5, (2 * uniform).log(), -(2 * (1 - uniform)).log())

    def log_density(self, e: Tensor) -> Tensor:
        return -e.abs() - math.log(2)
