"""A learned mixture of Gaussians as prior."""

import math

import torch
from torch import Tensor, nn

from vae_lab.models.distributions.prior import Prior
from vae_lab.noise import NoiseSpec, component


class GaussianMixture(Prior):
    r"""$p(z) = \sum_k \pi_k N(z; \mu_k, \mathrm{diag}(\sigma_k^2))$, all of it learned.

    It begins with equal weights, unit variances and means drawn from N(0, I).

    References:
        Deep unsupervised clustering with Gaussian mixture variational autoencoders (Dilokthanakul et al.,
        2016), section 3.1, without its discrete posterior.

    Args:
        latent_dim: `D`.
        num_components: `K`, at least 1.

    Raises:
        ValueError: If `num_components` is below 1.
    """

    def __init__(self, latent_dim: int, num_components: int = 10) -> None:
        super().__init__()
        if num_components < 1:
            raise ValueError(f"num_components must be at least 1, got {num_components}.")
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.means = nn.Parameter(torch.randn(num_components, latent_dim))
        self.log_scales = nn.Parameter(torch.zeros(num_components, latent_dim))

    def log_prob(self, z: Tensor) -> Tensor:
        standardised = (z.unsqueeze(-2) - self.means) * (-self.log_scales).exp()
        log_p = -(0.5 * standardised.square() + self.log_scales).sum(-1)
        log_p = log_p - 0.5 * self.latent_dim * math.log(2 * math.pi)
        return (log_p + self.logits.log_softmax(0)).logsumexp(-1)

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec("normal", num_samples, (self.latent_dim + 1,))  # one for the choice

    def sample(self, eps: Tensor) -> Tensor:
        chosen = component(torch.special.ndtr(eps[..., -1]), self.logits.softmax(0))
        return self.means[chosen] + self.log_scales[chosen].exp() * eps[..., :-1]
