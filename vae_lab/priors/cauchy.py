"""The standard Cauchy prior."""

import math

import torch
from torch import Tensor

from vae_lab.noise import NoiseSpec
from vae_lab.priors.base import Prior


class StandardCauchy(Prior):
    r"""$p(z) = \prod_d 1 / (\pi (1 + z_d^2))$.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> round(StandardCauchy(1).log_prob(torch.zeros(1, 1, 1)).item(), 4)
        -1.1447
    """

    factorises = True
    has_terms = True

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return -z.square().log1p() - math.log(math.pi)

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec("uniform", num_samples, (self.latent_dim,))

    def sample(self, eps: Tensor) -> Tensor:
        limits = torch.finfo(eps.dtype)
        return torch.tan(math.pi * (eps.clamp(limits.tiny, 1 - limits.eps / 2) - 0.5))
