"""Gaussian pixels with a fixed variance, one learned variance, or a variance network."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.noise import BaseDistribution

MeanActivation = Literal["identity", "sigmoid"]


@dataclass(frozen=True)
class GaussianPixels:
    """Independent Gaussian pixels: `mean` `(K, B, *data_shape)` and a `log_scale` that broadcasts to it."""

    mean: Tensor
    log_scale: Tensor

    @property
    def mode(self) -> Tensor:
        return self.mean

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        standardised = (x - self.mean) * (-self.log_scale).exp()
        return -0.5 * standardised.square() - self.log_scale - 0.5 * math.log(2 * math.pi)

    def sample(self, eps: Tensor) -> Tensor:
        return self.mean + self.log_scale.exp() * eps


class _GaussianFamily(Likelihood):
    base_distribution: BaseDistribution = "normal"
    support: Support = "real"

    def __init__(self, mean_activation: MeanActivation = "identity") -> None:
        super().__init__()
        self.mean_activation = nn.Identity() if mean_activation == "identity" else nn.Sigmoid()


class FixedGaussian(_GaussianFamily):
    r"""$\log p(x|z) = \sum_i \log N(x_i; \mu_i(z), \sigma^2)$ with a given $\sigma$.

    Args:
        std: Standard deviation of every pixel, above 0.
        mean_activation: `sigmoid` keeps the means in (0, 1).

    Raises:
        ValueError: If `std` is not above 0.

    Example:
        >>> FixedGaussian()(torch.zeros(1, 1, 2)).log_prob(torch.zeros(1, 2)).item()
        -1.8378...
    """

    num_outputs: int = 1

    def __init__(self, std: float = 1.0, mean_activation: MeanActivation = "identity") -> None:
        super().__init__(mean_activation)
        if not std > 0:
            raise ValueError(f"std must be above 0, got {std}.")
        self.register_buffer("log_scale", torch.tensor(math.log(std)), persistent=False)

    def forward(self, outputs: Tensor) -> GaussianPixels:
        return GaussianPixels(self.mean_activation(outputs), self.get_buffer("log_scale"))


class ScalarGaussian(_GaussianFamily):
    r"""$\log p(x|z) = \sum_i \log N(x_i; \mu_i(z), \sigma^2)$ with one learned $\sigma$.

    References:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), equation 2.

    Args:
        initial_std: Where the learned standard deviation starts, above 0.
        mean_activation: `sigmoid` keeps the means in (0, 1).

    Raises:
        ValueError: If `initial_std` is not above 0.
    """

    num_outputs: int = 1
    learns_scale = True

    def __init__(self, initial_std: float = 1.0, mean_activation: MeanActivation = "identity") -> None:
        super().__init__(mean_activation)
        if not initial_std > 0:
            raise ValueError(f"initial_std must be above 0, got {initial_std}.")
        self.log_scale = nn.Parameter(torch.tensor(math.log(initial_std)))

    def forward(self, outputs: Tensor) -> GaussianPixels:
        return GaussianPixels(self.mean_activation(outputs), self.log_scale)


class Gaussian(_GaussianFamily):
    r"""$\log p(x|z) = \sum_i \log N(x_i; \mu_i(z), \sigma_i^2(z))$, the decoder giving mean and log-variance.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix C.2, equation 12.

    Args:
        mean_activation: `sigmoid` keeps the means in (0, 1), as the paper does for Frey Face.
    """

    num_outputs: int = 2
    learns_scale = True

    def forward(self, outputs: Tensor) -> GaussianPixels:
        mean, log_variance = outputs.chunk(2, dim=2)
        return GaussianPixels(self.mean_activation(mean), 0.5 * log_variance)
