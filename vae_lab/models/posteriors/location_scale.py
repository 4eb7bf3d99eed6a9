"""Posteriors that are a fixed distribution, moved and scaled."""

import math
from dataclasses import dataclass, replace

from torch import Tensor

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.priors.cauchy import StandardCauchy
from vae_lab.models.priors.standard_normal import StandardNormal
from vae_lab.noise import BaseDistribution, open_interval


class LocationScale(Posterior):
    r"""z = m(x) + s(x) e, e from a distribution that is symmetric around 0 and has no parameters.

    $$\log q(z|x) = \sum_d \log p_e\left(\frac{z_d - m_d}{s_d}\right) - \log s_d, \quad
      e = F^{-1}(u), \quad u \sim U(0, 1)$$

    Where e has a second moment, the KL term to the standard normal prior is

    $$\mathrm{KL} = \sum_d \tfrac12 \left(m_d^2 + s_d^2 \, \mathbb{E} e^2 + \log 2\pi\right)
      - \log s_d - H(e).$$

    Args:
        latent_dim: `D`, at least 1.

    Attributes:
        standard_entropy: H(e), in nats.
        second_moment: E[e^2]; infinite where there is none.

    Raises:
        ValueError: If `latent_dim` is below 1.
    """

    base_distribution: BaseDistribution = "uniform"
    standard_entropy: float
    second_moment: float

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
        self.outputs = {"location": latent_dim, "log_scale": latent_dim}

    def quantile(self, uniform: Tensor) -> Tensor:
        """F^-1(u) of the standard distribution."""
        raise NotImplementedError

    def log_density(self, e: Tensor) -> Tensor:
        """log p(e) of the standard distribution."""
        raise NotImplementedError

    def forward(self, outputs: Tensor) -> "LocationScaleConditional":
        location, log_scale = outputs.chunk(2, dim=-1)
        return LocationScaleConditional(self, location, log_scale)

    def check(self, prior: Prior) -> None:
        super().check(prior)
        if math.isinf(self.second_moment) and not isinstance(prior, StandardCauchy):
            raise ValueError(
                f"{type(self).__name__} has no second moment, so that its KL to {type(prior).__name__} is "
                "infinite."
            )

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, StandardNormal) and math.isfinite(self.second_moment)

    def kl(self, location: Tensor, log_scale: Tensor, prior: Prior) -> Tensor:
        """KL(q || prior) of each dimension, `(B, D)`."""
        if not self.has_analytic_kl(prior):
            names = f"{type(self).__name__} to {type(prior).__name__}"
            raise ValueError(f"kl=analytic has no closed form from {names}.")
        spread = location.square() + (2 * log_scale).exp() * self.second_moment
        return 0.5 * (spread + math.log(2 * math.pi)) - log_scale - self.standard_entropy


@dataclass(frozen=True)
class LocationScaleConditional:
    """A distribution of the family, with parameters of shape `(B, D)`."""

    family: LocationScale
    mean: Tensor
    log_scale: Tensor

    @property
    def std(self) -> Tensor | None:
        moment = self.family.second_moment
        return self.log_scale.exp() * moment**0.5 if math.isfinite(moment) else None

    def transform(self, eps: Tensor) -> Tensor:
        return self.mean + self.log_scale.exp() * self.family.quantile(open_interval(eps))

    @property
    def parameters(self) -> tuple[Tensor, Tensor]:
        return self.mean, self.log_scale

    def with_parameters(self, *parameters: Tensor) -> "LocationScaleConditional":
        return replace(self, mean=parameters[0], log_scale=parameters[1])

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        standardised = (z - self.mean) * (-self.log_scale).exp()
        return self.family.log_density(standardised) - self.log_scale

    def entropy(self) -> Tensor:
        return (self.log_scale + self.family.standard_entropy).sum(-1)

    def kl(self, prior: Prior) -> Tensor:
        return self.family.kl(self.mean, self.log_scale, prior)

    def detach(self) -> "LocationScaleConditional":
        return self.with_parameters(self.mean.detach(), self.log_scale.detach())
