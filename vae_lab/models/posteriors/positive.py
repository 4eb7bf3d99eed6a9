"""The base of posteriors of positive latent variables."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior, Support
from vae_lab.models.priors.exponential import StandardExponential
from vae_lab.noise import BaseDistribution, open_interval


class Positive(Posterior):
    r"""Positive latent variables, for the prior Exponential(1), under which $\log p(z) = -\sum_d z_d$.

    $$\mathrm{KL}(q \| p) = \sum_d \mathbb{E} z_d - H(q_d)$$

    Samples, which may be far smaller than single precision holds, and their densities are computed in double
    precision; samples are given so, densities in the precision of the parameters.

    Attributes:
        names: Of the parameters whose logarithms the encoder gives.
    """

    base_distribution: BaseDistribution = "uniform"
    support: Support = "positive"
    names: tuple[str, ...]

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
        self.outputs = {f"log_{name}": latent_dim for name in self.names}

    def quantile(self, uniform: Tensor, *logs: Tensor) -> Tensor:
        """F^-1(u), with its gradient by the parameters, of which the logarithms are given."""
        raise NotImplementedError

    def log_density(self, z: Tensor, *logs: Tensor) -> Tensor:
        """log q(z) of each dimension."""
        raise NotImplementedError

    def mean(self, *logs: Tensor) -> Tensor:
        """E[z] of each dimension."""
        raise NotImplementedError

    def variance(self, *logs: Tensor) -> Tensor:
        """Var[z] of each dimension."""
        raise NotImplementedError

    def entropy(self, *logs: Tensor) -> Tensor:
        """H(q) of each dimension."""
        raise NotImplementedError

    def forward(self, outputs: Tensor) -> "PositiveConditional":
        return PositiveConditional(self, outputs.chunk(len(self.names), dim=-1))

    def has_analytic_kl(self, prior: Prior) -> bool:
        return isinstance(prior, StandardExponential)


@dataclass(frozen=True)
class PositiveConditional:
    """A distribution of the family, the logarithms of its parameters having the shape `(B, D)`."""

    family: Positive
    parameters: tuple[Tensor, ...]

    @property
    def mean(self) -> Tensor:
        return self._of(self.family.mean)

    @property
    def std(self) -> Tensor:
        return self._of(lambda *logs: self.family.variance(*logs).sqrt())

    def transform(self, eps: Tensor) -> Tensor:
        z = self.family.quantile(open_interval(eps).double(), *self._doubles)
        return z.clamp_min(torch.finfo(z.dtype).tiny)

    def with_parameters(self, *parameters: Tensor) -> "PositiveConditional":
        return replace(self, parameters=parameters)

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        return self.family.log_density(z.double(), *self._doubles).to(self.parameters[0])

    def entropy(self) -> Tensor:
        return self._of(self.family.entropy).sum(-1)

    def kl(self, prior: Prior) -> Tensor:
        if not self.family.has_analytic_kl(prior):
            names = f"{type(self.family).__name__} to {type(prior).__name__}"
            raise ValueError(f"kl=analytic has no closed form from {names}.")
        return self._of(lambda *logs: self.family.mean(*logs) - self.family.entropy(*logs))

    def detach(self) -> "PositiveConditional":
        return self.with_parameters(*(parameter.detach() for parameter in self.parameters))

    @property
    def _doubles(self) -> tuple[Tensor, ...]:
        return tuple(parameter.double() for parameter in self.parameters)

    def _of(self, function: Callable[..., Tensor]) -> Tensor:
        """A function of the parameters in the precision that they have."""
        return function(*self._doubles).to(self.parameters[0])


def bounded_below(log_concentration: Tensor, least: float) -> Tensor:
    """log(l + (1 - l) a) in place of log a: near 0 the power of a uniform number would be no number.

    Example:
        >>> bounded_below(torch.tensor([-100.0, 0.0]), 0.02).exp().tolist()
        [0.019999..., 1.0]
    """
    return torch.logaddexp(
        log_concentration + math.log1p(-least), torch.full_like(log_concentration, least).log()
    )
