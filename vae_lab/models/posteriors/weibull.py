"""Weibull posteriors."""

from torch import Tensor

from vae_lab.models.posteriors.positive import Positive, PositiveConditional, bounded_below

EULER = 0.5772156649015329
MIN_CONCENTRATION = (
    0.1  # concentration, below which samples and their variance are too large for single precision
)


class Weibull(Positive):
    r"""Weibull distributions of positive latent variables, $z = s(x) (-\log(1 - u))^{1 / k(x)}$.

    $$H(q_d) = \gamma \left(1 - \frac{1}{k_d}\right) + \log \frac{s_d}{k_d} + 1, \quad
      \mathbb{E} z_d = s_d \Gamma(1 + 1 / k_d)$$

    The encoder gives l for $k = 0.1 + 0.9 e^l$: with a smaller one, samples are as large as 1e12 and more.

    References:
        WHAI: Weibull Hybrid Autoencoding Inference (Zhang, Chen, Guo & Zhou, 2018), for Weibull
        distributions in the place of gamma distributions.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> import torch
        >>> q = Weibull(latent_dim=1)(torch.zeros(1, 2))  # with k = 1, exponential
        >>> round(q.transform(torch.tensor([[[0.5]]])).item(), 4), q.mean.item()
        (0.6931, 1.0)
    """

    names = ("scale", "concentration")

    def forward(self, outputs: Tensor) -> PositiveConditional:
        log_scale, log_concentration = outputs.chunk(2, dim=-1)
        return PositiveConditional(self, (log_scale, bounded_below(log_concentration, MIN_CONCENTRATION)))

    def quantile(self, uniform: Tensor, *logs: Tensor) -> Tensor:
        log_exponential = (-(-uniform).log1p()).log()
        return (logs[0] + (-logs[1]).exp() * log_exponential).exp()

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
