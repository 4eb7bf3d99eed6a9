"""Student-t posteriors."""

import math
from typing import Any

import torch
from scipy.special import digamma, gammaln, stdtrit
from torch import Tensor

from vae_lab.models.posteriors.location_scale import LocationScale


class _Quantile(torch.autograd.Function):
    """The quantile of the standard distribution at uniform noise, which needs no gradient."""

    @staticmethod
    def forward(uniform: Tensor, df: float) -> Tensor:
        return torch.from_numpy(stdtrit(df, uniform.cpu().double().numpy())).to(uniform)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int, None], uniform: Tensor, df: float) -> tuple[Tensor, int]:
        return _Quantile.apply(uniform, df), in_dims[0]


class StudentT(LocationScale):
    r"""Student's t with fixed degrees of freedom, $p(e) \propto (1 + e^2 / \nu)^{-(\nu + 1) / 2}$.

    $$\mathbb{E} e^2 = \frac{\nu}{\nu - 2} \text{ for } \nu > 2, \quad
      H(e) = \tfrac{\nu + 1}{2} \left(\psi(\tfrac{\nu + 1}{2}) - \psi(\tfrac{\nu}{2})\right)
      + \log \sqrt\nu B(\tfrac{\nu}{2}, \tfrac12)$$

    Args:
        latent_dim: `D`, at least 1.
        df: The degrees of freedom $\nu$, above 0.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> q = StudentT(latent_dim=2, df=2.0)(torch.zeros(1, 4))
        >>> [round(value, 3) for value in q.transform(torch.tensor([[[0.5, 0.75]]])).flatten().tolist()]
        [0.0, 0.816]
    """

    def __init__(self, latent_dim: int, df: float = 5.0) -> None:
        super().__init__(latent_dim)
        if not df > 0:
            raise ValueError(f"df must be above 0, got {df}.")
        self.df = df
        half = 0.5 * df
        self.log_normaliser = float(0.5 * math.log(df) + gammaln(half) + gammaln(0.5) - gammaln(half + 0.5))
        difference = float(digamma(half + 0.5) - digamma(half))
        self.standard_entropy = (half + 0.5) * difference + self.log_normaliser
        self.second_moment = df / (df - 2) if df > 2 else math.inf

    def quantile(self, uniform: Tensor) -> Tensor:
        e: Tensor = _Quantile.apply(uniform, self.df)
        return e

    def log_density(self, e: Tensor) -> Tensor:
        distance = e.abs() / math.sqrt(self.df)
        ones = torch.ones_like(distance)
        longer, shorter = torch.maximum(distance, ones), torch.minimum(distance, ones)
        squares = 2 * longer.log() + (shorter / longer).square().log1p()  # log(1 + e^2 / df) without e^2
        return -0.5 * (self.df + 1) * squares - self.log_normaliser
