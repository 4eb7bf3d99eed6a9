"""The standard exponential prior."""

import torch
from torch import Tensor

from vae_lab.noise import NoiseSpec
from vae_lab.priors.base import Prior, Support


class StandardExponential(Prior):
    r"""$p(z) = \prod_d e^{-z_d}$ on positive z, and nothing elsewhere.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> StandardExponential(1).log_prob(torch.tensor([[[2.0]], [[-1.0]]])).flatten().tolist()
        [-2.0, -inf]
    """

    factorises = True
    has_terms = True
    support: Support = "positive"

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return torch.where(z >= 0, -z, -torch.inf)

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec("uniform", num_samples, (self.latent_dim,))

    def sample(self, eps: Tensor) -> Tensor:
        limits = torch.finfo(eps.dtype)
        return -(-eps.clamp(limits.tiny, 1 - limits.eps / 2)).log1p()
