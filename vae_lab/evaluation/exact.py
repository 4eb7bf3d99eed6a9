"""The marginal log-likelihood of models that have it in closed form."""

from typing import Any

import torch
from torch import Tensor

from vae_lab.likelihoods import FixedGaussian, ScalarGaussian
from vae_lab.networks import Linear
from vae_lab.priors import StandardNormal
from vae_lab.vae import VAE


def is_linear_gaussian(vae: VAE) -> bool:
    """Whether p(x|z) = N(Wz + b, s^2 I) and p(z) = N(0, I), as in probabilistic PCA."""
    likelihood = isinstance(vae.likelihood, FixedGaussian | ScalarGaussian)
    return (
        isinstance(vae.decoder, Linear)
        and likelihood
        and isinstance(vae.likelihood.mean_activation, torch.nn.Identity)
        and isinstance(vae.prior, StandardNormal)
    )


@torch.no_grad()
def linear_gaussian_log_likelihood(vae: VAE, x: Tensor) -> Tensor:
    r"""$\log N(x; b, W W^T + \sigma^2 I)$ of each datum, `(B,)` in float64, in nats.

    References:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), equations 6 and 7.

    Args:
        vae: A model for which `is_linear_gaussian` holds.
        x: Data `(B, *data_shape)`.
    """
    layer: Any = vae.decoder.layers
    weight, bias = layer[0].weight.double(), layer[0].bias.double()
    log_scale: Any = vae.likelihood.log_scale
    variance = (2 * log_scale).exp().double().expand(len(bias))
    p = torch.distributions.LowRankMultivariateNormal(bias, weight, variance)
    return p.log_prob(x.flatten(1).double())
