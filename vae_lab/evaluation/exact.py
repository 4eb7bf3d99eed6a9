"""The marginal log-likelihood of models that have it in closed form or as a sum of few terms."""

from typing import Any

import torch
from torch import Tensor

from vae_lab.models.likelihoods import FixedGaussian, ScalarGaussian
from vae_lab.models.networks import Linear
from vae_lab.models.posteriors.discrete import is_enumerable
from vae_lab.models.vae import VAE

CHUNK = 64  # values of the latent variables at a time


def has_exact_log_likelihood(vae: VAE) -> bool:
    """Whether `exact_log_likelihood` has a way."""
    return is_linear_gaussian(vae) or is_enumerable(vae.posterior)


def exact_log_likelihood(vae: VAE, x: Tensor) -> Tensor:
    """log p(x) of each datum, `(B,)` in float64, in nats, for data `(B, *data_shape)`."""
    of = linear_gaussian_log_likelihood if is_linear_gaussian(vae) else enumerated_log_likelihood
    return of(vae, x)


def is_linear_gaussian(vae: VAE) -> bool:
    """Whether p(x|z) = N(Wz + b, s^2 I) and p(z) = N(0, I), as in probabilistic PCA."""
    likelihood = isinstance(vae.likelihood, FixedGaussian | ScalarGaussian)
    return (
        isinstance(vae.decoder, Linear)
        and likelihood
        and isinstance(vae.likelihood.mean_activation, torch.nn.Identity)
        and vae.prior.is_standard_normal
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


@torch.no_grad()
def enumerated_log_likelihood(vae: VAE, x: Tensor) -> Tensor:
    r"""$\log \sum_z p(z) p(x|z)$ of each datum, over all values of discrete latent variables.

    Args:
        vae: A model whose posterior `is_enumerable`.
        x: Data `(B, *data_shape)`.
    """
    posterior: Any = vae.posterior
    states = posterior.states().to(x)
    parts = [vae.log_joint(x, z.unsqueeze(1).expand(-1, len(x), -1)).double() for z in states.split(CHUNK)]
    return torch.cat(parts).logsumexp(0)
