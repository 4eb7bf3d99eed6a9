"""Gamma posteriors."""

from typing import Any

import torch
from scipy.special import gammaincinv
from torch import Tensor

from vae_lab.posteriors.positive import Positive


class _Quantile(torch.autograd.Function):
    """The quantile of the standard gamma law, with its gradient by the concentration.

    It follows from F(z(a), a) = u: dz/da = -(dF/da) / p(z).
    """

    @staticmethod
    def forward(ctx: Any, uniform: Tensor, concentration: Tensor) -> Tensor:
        concentration = concentration.expand(uniform.shape)
        z = gammaincinv(concentration.cpu().double().numpy(), uniform.cpu().double().numpy())
        z = torch.from_numpy(z).to(uniform).clamp_min(torch.finfo(uniform.dtype).tiny)
        ctx.save_for_backward(concentration, z)
        return z

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        concentration, z = ctx.saved_tensors
        return None, gradient * torch._standard_gamma_grad(concentration, z)


class Gamma(Positive):
    r"""Gamma laws of positive latent variables, by implicit reparameterisation: $z = s(x) F_a^{-1}(u)$.

    $$\frac{dz}{da} = -\frac{\partial F_a(z) / \partial a}{p_a(z)}, \quad
      H(q_d) = a_d + \log s_d + \log \Gamma(a_d) + (1 - a_d) \psi(a_d), \quad \mathbb{E} z_d = s_d a_d$$

    The quantile has no closed form, but it exists: the noise is uniform, as for the other families.

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

    def quantile(self, uniform: Tensor, *logs: Tensor) -> Tensor:
        standard: Tensor = _Quantile.apply(uniform, torch.broadcast_to(logs[1].exp(), uniform.shape))
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
