"""Gaussian posteriors with a full covariance."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.priors.standard_normal import StandardNormal
from vae_lab.noise import BaseDistribution
from vae_lab.numerics.precision import without_autocast


@dataclass(frozen=True)
class FullGaussianConditional:
    """N(mean, L L^T): the mean, log L_dd, and L_dj / L_dd for j < d by rows, `(B, D (D - 1) / 2)`."""

    mean: Tensor
    log_diagonal: Tensor
    below: Tensor

    @property
    def factor(self) -> Tensor:
        """L, `(B, D, D)`."""
        size = self.mean.shape[-1]
        rows, columns = torch.tril_indices(size, size, offset=-1, device=self.mean.device)
        unit = torch.diag_embed(torch.ones_like(self.mean))
        data = torch.arange(len(unit), device=rows.device)[:, None]
        return unit.index_put((data, rows, columns), self.below) * self.log_diagonal.exp().unsqueeze(-1)

    @property
    def std(self) -> Tensor:
        return self.factor.norm(dim=-1)

    def transform(self, eps: Tensor) -> Tensor:
        with without_autocast(eps):
            return self.mean + torch.einsum("bij,kbj->kbi", self.factor, eps)

    @property
    def parameters(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.mean, self.log_diagonal, self.below

    def with_parameters(self, *parameters: Tensor) -> "FullGaussianConditional":
        return FullGaussianConditional(*parameters)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """log q(z_d | z_1 ... z_{d-1}, x)."""
        residual = (z - self.mean).movedim(0, -1)  # (B, D, K)
        with without_autocast(residual):
            standardised = torch.linalg.solve_triangular(self.factor, residual, upper=False).movedim(-1, 0)
        return -0.5 * standardised.square() - self.log_diagonal - 0.5 * math.log(2 * math.pi)

    def entropy(self) -> Tensor:
        return (self.log_diagonal + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)

    def kl(self, prior: Prior) -> Tensor:
        """Terms by dimension, each with its variance and log L_dd; their sum is the KL."""
        if not isinstance(prior, StandardNormal):
            raise ValueError(f"kl=analytic has no closed form from FullGaussian to {type(prior).__name__}.")
        variance = self.factor.square().sum(-1)
        return 0.5 * (variance + self.mean.square() - 1) - self.log_diagonal

    def detach(self) -> "FullGaussianConditional":
        return FullGaussianConditional(*(parameter.detach() for parameter in self.parameters))


class FullGaussian(Posterior):
    r"""A Gaussian with a full covariance, $z = \mu(x) + L(x) \epsilon$ with L lower triangular.

    $$\mathrm{KL} = \tfrac12 \left(\mathrm{tr}(L L^T) + \mu^T \mu - D\right) - \sum_d \log L_{dd}$$

    The encoder gives each row of L in units of its diagonal element, so that its noise is small where the
    posterior is narrow.

    References:
        An Introduction to Variational Autoencoders (Kingma & Welling, 2019), section 2.5.1, where the encoder
        gives L itself.

    Args:
        latent_dim: `D`, at least 1.

    Raises:
        ValueError: If `latent_dim` is below 1.

    Example:
        >>> q = FullGaussian(latent_dim=2)(torch.zeros(1, 5))
        >>> q.factor.tolist(), q.kl(StandardNormal(2)).sum().item()
        ([[[1.0, 0.0], [0.0, 1.0]]], 0.0)
    """

    base_distribution: BaseDistribution = "normal"
    factorises = False

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
        self.outputs = {
            "mean": latent_dim,
            "log_diagonal": latent_dim,
            "below": latent_dim * (latent_dim - 1) // 2,
        }

    def forward(self, outputs: Tensor) -> FullGaussianConditional:
        return FullGaussianConditional(*outputs.split(list(self.outputs.values()), dim=-1))

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, StandardNormal)
