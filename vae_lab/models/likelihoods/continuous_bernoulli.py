"""Continuous Bernoulli pixels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.noise import BaseDistribution

SMALL = 1e-2  # of logits, below which series take the place of quotients of two small numbers


@dataclass(frozen=True)
class ContinuousBernoulliPixels:
    """Independent continuous Bernoulli pixels with the given logits `(K, B, *data_shape)`."""

    logits: Tensor

    def _at_least_small(self) -> Tensor:
        small = torch.full_like(self.logits, SMALL)
        return torch.where(self.logits.abs() < SMALL, small, self.logits)

    @property
    def mean(self) -> Tensor:
        far = self._at_least_small()
        exact = 1 / (-torch.expm1(-far)) - 1 / far
        return torch.where(self.logits.abs() < SMALL, 0.5 + self.logits / 12, exact)

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    def _log_normalizer(self) -> Tensor:
        """log of logits / tanh(logits / 2)."""
        far = self._at_least_small().abs()
        exact = far.log() - (-torch.expm1(-far)).log() + torch.log1p((-far).exp())
        series = math.log(2) + self.logits.square() / 12
        return torch.where(self.logits.abs() < SMALL, series, exact)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        return x * self.logits - torch.nn.functional.softplus(self.logits) + self._log_normalizer()

    def sample(self, eps: Tensor) -> Tensor:
        size = self._at_least_small().abs()
        positive = self.logits >= 0
        u = torch.where(positive, eps, 1 - eps)
        far = 1 + torch.log(u + (1 - u) * (-size).exp()) / size
        far = torch.where(positive, far, 1 - far)
        return torch.where(self.logits.abs() < SMALL, eps + self.logits * eps * (eps - 1) / -2, far).clamp(
            0, 1
        )


class ContinuousBernoulli(Likelihood):
    r"""A density on [0, 1] with the shape of a Bernoulli's, the decoder giving logits.

    $$\log p(x|z) = \sum_i x_i l_i - \log(1 + e^{l_i}) + \log \frac{l_i}{\tanh(l_i / 2)}$$

    References:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders (Loaiza-Ganem &
        Cunningham, 2019), equations 7 and 8.

    Example:
        >>> pixels = ContinuousBernoulli()(torch.zeros(1, 1, 1, 2, 2))  # uniform
        >>> round(pixels.log_prob(torch.rand(1, 1, 2, 2)).item(), 6) + 0
        0.0
    """

    num_outputs: int = 1
    base_distribution: BaseDistribution = "uniform"
    support: Support = "unit_interval"

    def forward(self, outputs: Tensor) -> ContinuousBernoulliPixels:
        return ContinuousBernoulliPixels(outputs)
