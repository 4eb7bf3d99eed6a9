"""Cauchy posteriors."""

import math

import torch
from torch import Tensor

from vae_lab.models.distributions.prior import Prior
from vae_lab.models.posteriors.location_scale import LocationScale
from vae_lab.models.priors.cauchy import StandardCauchy, cauchy_quantile, log_density


class Cauchy(LocationScale):
    r"""Cauchy distributions, $p(e) = 1 / (\pi (1 + e^2))$, for the Cauchy prior: they have no moments.

    $$\mathrm{KL}(q \| p) = \sum_d \log \frac{(s_d + 1)^2 + m_d^2}{4 s_d}$$

    Their `mean` is the location, the middle of q.

    References:
        A closed-form formula for the Kullback-Leibler divergence between Cauchy distributions (Chyzak &
        Nielsen, 2019), theorem 1.

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> q = Cauchy(latent_dim=2)(torch.zeros(1, 4))
        >>> [round(value, 3) for value in q.transform(torch.tensor([[[0.5, 0.75]]])).flatten().tolist()]
        [0.0, 1.0]
    """

    standard_entropy = math.log(4 * math.pi)
    second_moment = math.inf

    def quantile(self, uniform: Tensor) -> Tensor:
        return cauchy_quantile(uniform)

    def log_density(self, e: Tensor) -> Tensor:
        return log_density(e)

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, StandardCauchy)

    def kl(self, location: Tensor, log_scale: Tensor, prior: Prior) -> Tensor:
        if not self.has_analytic_kl(prior):
            return super().kl(location, log_scale, prior)
        return 2 * torch.hypot(log_scale.exp() + 1, location).log() - math.log(4) - log_scale
