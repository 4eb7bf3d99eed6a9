"""The second-order Taylor expansion of a learning signal at the mean of q."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.numerics.precision import without_autocast


class Quadratic(NamedTuple):
    r"""$h(z) = f(c) + g^\top (z - c) + \frac12 (z - c)^\top H (z - c)$ for each datum, without a graph.

    Args:
        centre: c, `(B, D)`.
        value: f(c), `(B,)`.
        gradient: g, `(B, D)`.
        hessian: H, `(B, D, D)`.
    """

    centre: Tensor
    value: Tensor
    gradient: Tensor
    hessian: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """h(z) of shape `(K, B)` for `z` of shape `(K, B, D)`."""
        step = z - self.centre
        with without_autocast(step):
            curvature = torch.einsum("kbi,bij->kbj", step, self.hessian.to(step))
        return self.value + ((self.gradient + 0.5 * curvature) * step).sum(-1)

    def expectation(self, q: PosteriorDistribution) -> Tensor:
        """E[h(z)] of shape `(B,)` under a q that is a product over the latent dimensions."""
        assert q.std is not None
        spread = self.hessian.diagonal(dim1=-2, dim2=-1) * q.std.square()
        return self(q.mean.unsqueeze(0))[0] + 0.5 * spread.sum(-1)


def expand(f: Callable[[Tensor], Tensor], centre: Tensor) -> Quadratic:
    """The expansion of `f`, which maps latent vectors `(1, B, D)` to `(1, B)`, datum by datum.

    It evaluates `f` once, and takes one backward pass for the gradient and one for each row of the Hessian.
    """

    def total(z: Tensor) -> tuple[Tensor, Tensor]:
        value = f(z.unsqueeze(0))[0]
        return value.sum(), value

    with torch.no_grad():  # of the parameters of f
        centre = centre.detach()
        derivative = torch.func.grad(total, has_aux=True)
        derivatives: Any = torch.func.vjp(derivative, centre, has_aux=True)
        gradient, pull, value = derivatives
        directions = torch.eye(centre.shape[-1], dtype=centre.dtype, device=centre.device)
        rows = [pull(direction.expand_as(centre))[0] for direction in directions]
    return Quadratic(centre, value.detach(), gradient.detach(), torch.stack(rows, dim=-2).detach())
