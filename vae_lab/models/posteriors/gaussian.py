"""Gaussian posteriors with a diagonal or an isotropic covariance."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.priors.standard_normal import StandardNormal
from vae_lab.noise import BaseDistribution

Scale = Literal["log_variance", "log_std"]


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag(exp(2 log_scale))) with parameters of shape `(B, D)`."""

    mean: Tensor
    log_scale: Tensor

    @property
    def std(self) -> Tensor:
        return self.log_scale.exp()

    def transform(self, eps: Tensor) -> Tensor:
        return self.mean + self.log_scale.exp() * eps

    @property
    def parameters(self) -> tuple[Tensor, Tensor]:
        return self.mean, self.log_scale

    def with_parameters(self, *parameters: Tensor) -> "DiagonalGaussian":
        return DiagonalGaussian(*parameters)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        standardised = (z - self.mean) * (-self.log_scale).exp()
        return -0.5 * standardised.square() - self.log_scale - 0.5 * math.log(2 * math.pi)

    def entropy(self) -> Tensor:
        return (self.log_scale + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl(self, prior: Prior) -> Tensor:
        if not isinstance(prior, StandardNormal):
            raise ValueError(f"kl=analytic has no closed form from a Gaussian to {type(prior).__name__}.")
        return 0.5 * ((2 * self.log_scale).exp() + self.mean.square() - 1) - self.log_scale

    def detach(self) -> "DiagonalGaussian":
        return DiagonalGaussian(self.mean.detach(), self.log_scale.detach())


class Gaussian(Posterior):
    r"""A Gaussian with a diagonal covariance, its encoder giving mean and log-variance, or log-scale.

    $$z = \mu(x) + \sigma(x) \odot \epsilon, \quad
      \mathrm{KL} = \tfrac12 \sum_d (\mu_d^2 + \sigma_d^2 - 1 - \log \sigma_d^2)$$

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), equation 10 and appendix B.

    Args:
        latent_dim: `D`, at least 1.
        scale: What the encoder gives beside the mean: `log_variance`, or `log_std`, on which a step of
            gradient ascent is four times as long.

    Raises:
        ValueError: If `latent_dim` is below 1.

    Example:
        >>> q = Gaussian(latent_dim=3)(torch.zeros(4, 6))
        >>> q.kl(StandardNormal(3)).sum().item()
        0.0
    """

    base_distribution: BaseDistribution = "normal"

    def __init__(self, latent_dim: int, scale: Scale = "log_variance") -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
        self.latent_dim = latent_dim
        self.outputs = {"mean": latent_dim, scale: latent_dim}

    def forward(self, outputs: Tensor) -> DiagonalGaussian:
        mean, log_scale = outputs.chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_scale if "log_std" in self.outputs else 0.5 * log_scale)

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, StandardNormal)


class FixedGaussian(Gaussian):
    r"""A Gaussian $N(\mu(x), \sigma^2 I)$ with a given $\sigma$.

    Args:
        latent_dim: `D`, at least 1.
        std: $\sigma$, above 0.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> FixedGaussian(latent_dim=3, std=1.0)(torch.zeros(4, 3)).log_scale.sum().item()
        0.0
    """

    def __init__(self, latent_dim: int, std: float) -> None:
        super().__init__(latent_dim)
        if not std > 0:
            raise ValueError(f"std must be above 0, got {std}.")
        self.log_std = math.log(std)
        self.outputs = {"mean": latent_dim}

    def forward(self, outputs: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(outputs, torch.full_like(outputs, self.log_std))


class IsotropicGaussian(Gaussian):
    r"""A Gaussian $N(\mu(x), \sigma^2(x) I)$: one variance for all latent dimensions.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> IsotropicGaussian(latent_dim=3)(torch.zeros(4, 4)).log_scale.shape
        torch.Size([4, 3])
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.outputs = {"mean": latent_dim, "log_variance": 1}

    def forward(self, outputs: Tensor) -> DiagonalGaussian:
        mean, log_variance = outputs.split([self.latent_dim, 1], dim=-1)
        return DiagonalGaussian(mean, 0.5 * torch.broadcast_to(log_variance, mean.shape))
