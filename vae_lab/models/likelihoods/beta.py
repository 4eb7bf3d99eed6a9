"""Beta pixels."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.noise import BaseDistribution

SMALLEST_PARAMETER = 1e-3  # of both parameters
SMALLEST = 2.0**-24  # distance from 1 that single precision has


@dataclass(frozen=True)
class BetaPixels:
    """Independent Beta pixels, both parameters of shape `(K, B, *data_shape)`."""

    alpha: Tensor
    beta: Tensor

    @property
    def mean(self) -> Tensor:
        return self.alpha / (self.alpha + self.beta)

    @property
    def mode(self) -> Tensor:
        """The maximum inside (0, 1), or else the end with the larger mass beside it."""
        inside = (self.alpha - 1) / (self.alpha + self.beta - 2)
        has_maximum = (self.alpha > 1) & (self.beta > 1)
        return torch.where(has_maximum, inside, (self.alpha > self.beta).to(inside.dtype))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        alpha, beta, x = self.alpha.double(), self.beta.double(), x.double()  # large numbers cancel
        normalizer = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
        return ((alpha - 1) * x.log() + (beta - 1) * torch.log1p(-x) - normalizer).to(self.alpha)

    def sample(self, eps: Tensor) -> Tensor:
        """By the inverse of the distribution function, on the CPU."""
        from scipy.special import betaincinv

        arguments = (each.detach().double().cpu().numpy() for each in (self.alpha, self.beta, eps))
        return torch.from_numpy(betaincinv(*arguments)).to(eps).clamp(SMALLEST, 1 - SMALLEST)


class Beta(Likelihood):
    r"""Independent Beta pixels on (0, 1), the decoder giving both parameters through a softplus.

    $$\log p(x|z) = \sum_i (\alpha_i - 1) \log x_i + (\beta_i - 1) \log(1 - x_i) - \log B(\alpha_i, \beta_i)$$

    The density is infinite or 0 at 0 and 1: data with such values must be dequantised.

    Example:
        >>> Beta()(torch.zeros(1, 1, 2, 2, 2)).mean.unique().tolist()
        [0.5]
    """

    num_outputs: int = 2
    base_distribution: BaseDistribution = "uniform"
    support: Support = "open_unit_interval"
    learns_scale = True

    def forward(self, outputs: Tensor) -> BetaPixels:
        alpha, beta = (F.softplus(each) + SMALLEST_PARAMETER for each in outputs.chunk(2, dim=2))
        return BetaPixels(alpha, beta)
