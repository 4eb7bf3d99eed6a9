"""Weibull posteriors."""

import torch
from torch import Tensor

from vae_lab.posteriors.positive import Positive

EULER = 0.5772156649015329


class Weibull(Positive):
    r"""Weibull laws of positive latent variables, $z = s(x) (-\log(1 - u))^{1 / k(x)}$.

    $$H(q_d) = \gamma \left(1 - \frac{1}{k_d}\right) + \log \frac{s_d}{k_d} + 1, \quad
      \mathbb{E} z_d = s_d \Gamma(1 + 1 / k_d)$$

    References:
        WHAI: Weibull Hybrid Autoencoding Inference (Zhang, Chen, Guo & Zhou, 2018), for Weibull
        laws in the place of gamma laws.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> q = Weibull(latent_dim=1)(torch.zeros(1, 2))  # with k = 1, exponential
        >>> round(q.transform(torch.tensor([[[0.5]]])).item(), 4), q.mean.item()
        (0.6931, 1.0)
    """

    names = ("scale", "concentration")

    def quantile(self, uniform: Tensor, *logs: Tensor) -> Tensor:
        log_exponential = (-(-uniform).log1p()).log()
        z = (logs[0] + (-logs[1]).exp() * log_exponential).exp()
        return z.clamp_min(torch.finfo(z.dtype).tiny)

    def log_density(self, z: Tensor, *logs: Tensor) -> Tensor:
        log_scale, log_concentration = logs
        standardised = log_concentration.exp() * (z.log() - log_scale)
        return log_concentration - z.log() + standardised - standardised.exp()

    def mean(self, *logs: Tensor) -> Tensor:
        return (logs[0] + (1 + (-logs[1]).exp()).lgamma()).exp()

    def variance(self, *logs: Tensor) -> Tensor:
        second_moment = (2 * logs[0] + (1 + 2 * (-logs[1]).exp()).lgamma()).exp()
        return (second_moment - self.mean(*logs).square()).clamp_min(0)

    def entropy(self, *logs: Tensor) -> Tensor:
        log_scale, log_concentration = logs
        return EULER * (1 - (-log_concentration).exp()) + log_scale - log_concentration + 1
