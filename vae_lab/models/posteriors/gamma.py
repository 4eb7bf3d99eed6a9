"""Gamma posteriors."""

from typing import Any

import torch
from scipy.special import gammaincinv
from torch import Tensor

from vae_lab.models.posteriors.positive import Positive, PositiveConditional, bounded_below

SMALLEST_CONCENTRATION = (
    0.02  # concentration, below which double precision has no number for the smallest samples
)


class _Quantile(torch.autograd.Function):
    """Quantile of the standard gamma distribution and its derivative by the concentration, of equal shapes.

    The latter follows from F(z(a), a) = u: dz/da = -(dF/da) / p(z).
    """

    @staticmethod
    def forward(uniform: Tensor, concentration: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.from_numpy(gammaincinv(concentration.cpu().numpy(), uniform.cpu().numpy()))
        z = z.to(uniform).clamp_min(torch.finfo(uniform.dtype).tiny)
        return z, torch._standard_gamma_grad(concentration, z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[None, Tensor]:
        (derivative,) = ctx.saved_tensors
        return None, gradient * derivative

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, int | None], *inputs: Tensor) -> tuple:
        stacked = [
            part.unsqueeze(0) if dim is None else part.movedim(dim, 0)
            for part, dim in zip(inputs, in_dims, strict=True)
        ]
        return _Quantile.apply(*(part.contiguous() for part in torch.broadcast_tensors(*stacked))), (0, 0)


class Gamma(Positive):
    r"""Gamma-distributed latent variables, by implicit reparameterisation: $z = s(x) F_a^{-1}(u)$.

    $$\frac{dz}{da} = -\frac{\partial F_a(z) / \partial a}{p_a(z)}, \quad
      H(q_d) = a_d + \log s_d + \log \Gamma(a_d) + (1 - a_d) \psi(a_d), \quad \mathbb{E} z_d = s_d a_d$$

    The quantile has no closed form, but it exists: the noise is uniform, as for the other families. The
    encoder gives l for $a = 0.02 + 0.98 e^l$: a sample of a smaller concentration may be below 1e-308.

    References:
        Implicit Reparameterization Gradients (Figurnov, Mohamed & Mnih, 2018).

    Args:
        latent_dim: `D`, at least 1.

    Example:
        >>> q = Gamma(latent_dim=1)(torch.zeros(1, 2))  # with a = 1, exponential
        >>> round(q.transform(torch.tensor([[[0.5]]])).item(), 4), q.mean.item()
        (0.6931, 1.0)
    """

    names = ("scale", "concentration")

    def forward(self, outputs: Tensor) -> PositiveConditional:
        log_scale, log_concentration = outputs.chunk(2, dim=-1)
        return PositiveConditional(
            self, (log_scale, bounded_below(log_concentration, SMALLEST_CONCENTRATION))
        )

    def quantile(self, uniform: Tensor, *logs: Tensor) -> Tensor:
        uniform, concentration = torch.broadcast_tensors(uniform, logs[1].exp())
        standard, _ = _Quantile.apply(uniform, concentration)
        return logs[0].exp() * standard

    def log_density(self, z: Tensor, *logs: Tensor) -> Tensor:
        log_scale, concentration = logs[0], logs[1].exp()
        standardised = z.log() - log_scale
        return concentration * standardised - standardised.exp() - concentration.lgamma() - z.log()

    def mean(self, *logs: Tensor) -> Tensor:
        return (logs[0] + logs[1]).exp()

    def variance(self, *logs: Tensor) -> Tensor:
        return (2 * logs[0] + logs[1]).exp()

    def entropy(self, *logs: Tensor) -> Tensor:
        log_scale, concentration = logs[0], logs[1].exp()
        digamma = torch.special.digamma(concentration)
        return concentration + log_scale + concentration.lgamma() + (1 - concentration) * digamma
