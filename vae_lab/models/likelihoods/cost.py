"""A cost of the latent variables in the place of a likelihood of data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support

Function = Literal["quadratic", "bell", "cosine"]


@dataclass(frozen=True)
class CostOfLatent:
    """exp(-f) for latent variables `(K, B, D)`, whatever the data are."""

    z: Tensor
    function: Function
    k: float

    def log_prob(self, x: Tensor) -> Tensor:
        return -_terms(self.z, self.function, self.k).sum(-1)


def _terms(z: Tensor, function: Function, k: float) -> Tensor:
    if function == "quadratic":
        return (z - k).square()
    return (-k * z.square()).exp() if function == "bell" else (k * z).cos()


class Cost(Likelihood):
    r"""A function of the latent variables whose expectation is studied: log p(x|z) = -f(z), without any x.

    $$f(z) = \sum_d (z_d - k)^2 \;(\text{quadratic}), \quad \sum_d e^{-k z_d^2} \;(\text{bell}), \quad
      \sum_d \cos k z_d \;(\text{cosine})$$

    The evidence lower bound is then $-E_q f - \mathrm{KL}$, so that with `kl=analytic` all noise of a
    gradient is that of $\nabla E_q f$.

    References:
        Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), figures 2
        and 3.

    Args:
        latent_dim: `D`.
        function: `quadratic`, `bell` or `cosine`.
        k: Centre, sharpness or frequency.

    Example:
        >>> import torch
        >>> Cost(1, "quadratic", k=3.0)(torch.ones(1, 2, 1)).log_prob(torch.zeros(2, 5)).tolist()
        [[-4.0, -4.0]]
    """

    num_outputs: int = 1
    base_distribution = None
    support: Support = "real"
    is_over_pixels = False

    def __init__(self, latent_dim: int, function: Function = "quadratic", k: float = 0.0) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.function: Function = function
        self.k = k

    def output_shape(self, data_shape: Sequence[int]) -> tuple[int, ...]:
        return (self.latent_dim,)

    def forward(self, outputs: Tensor) -> CostOfLatent:
        return CostOfLatent(outputs, self.function, self.k)
