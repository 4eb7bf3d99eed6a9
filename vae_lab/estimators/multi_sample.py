"""The base of estimators of the importance-weighted bound."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Estimator, Needs
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class LogDensities(NamedTuple):
    """The log-densities of `K` samples of each datum, each `(K, B)`."""

    log_likelihood: Tensor
    log_prior: Tensor
    log_q: Tensor

    @property
    def log_w(self) -> Tensor:
        """The log-weight log p(x, z) - log q(z|x)."""
        return self.log_likelihood + self.log_prior - self.log_q


class MultiSampleEstimator(Estimator):
    r"""An estimator of the gradient of the importance-weighted bound.

    $$L_K = E\Big[\log \frac1K \sum_{k=1}^K w_k\Big], \quad w_k = \frac{p(x, z_k)}{q(z_k|x)}$$

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8.

    Args:
        num_samples: `K`, at least 1; `L_1` is the evidence lower bound.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If `num_samples` is below 1 or `kl` is not `sampled`.
    """

    selection = "importance_weighted_bound"
    requires = Estimator.requires | {Needs.INDEPENDENT_SAMPLES}

    def __init__(self, num_samples: int = 5, kl: Literal["sampled"] = "sampled") -> None:
        super().__init__()
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
        if kl != "sampled":
            raise ValueError(
                f"kl must be sampled, got {kl}: a bound of several samples has no analytic form."
            )
        self.num_samples = num_samples
        self.kl = kl
        self.target = f"L_{num_samples}"

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        return vae.posterior_noise(self.num_samples)

    def log_densities(self, vae: VAE, x: Tensor, z: Tensor, density: PosteriorDistribution) -> LogDensities:
        """Those at samples `z`; log q is that of `density`: q itself, or q cut from the graph."""
        return LogDensities(vae.decode(z).log_prob(x), vae.prior.log_prob(z), density.log_prob(z))

    def estimate(self, surrogate: Tensor, densities: LogDensities, num_groups: int = 1) -> Estimate:
        """The estimate made of a surrogate `(B,)` and the log-densities of its samples, in so many groups."""
        log_likelihood, log_prior, log_q = (part.detach() for part in densities)
        reconstruction, kl = log_likelihood.mean(0), (log_q - log_prior).mean(0)
        bound = mean_of_groups(log_likelihood + log_prior - log_q, num_groups)
        terms = {
            "reconstruction": reconstruction,
            "kl": kl,
            "elbo": reconstruction - kl,
            "importance_weighted_bound": bound,
        }
        return Estimate(surrogate, bound, terms)


def log_mean(log_w: Tensor) -> Tensor:
    """log of the mean weight, `(B,)`, of log-weights `(K, B)`."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def check_groups(num_samples: int, num_groups: int) -> None:
    """Raises `ValueError` if so many samples cannot be parted into so many groups."""
    if num_groups < 1 or num_samples % num_groups:
        raise ValueError(f"num_groups must divide num_samples={num_samples}, got {num_groups}.")


def mean_of_groups(log_w: Tensor, num_groups: int) -> Tensor:
    """The mean over groups of the log of their mean weight, `(B,)`, of log-weights `(K, B)`."""
    return log_mean(log_w.unflatten(0, (num_groups, -1)).transpose(0, 1)).mean(0)


def log_sum_of_others(log_w: Tensor) -> Tensor:
    """log of the sum of the weights of all samples but each in turn, `(K, B)`."""
    samples = len(log_w)
    own = torch.eye(samples, dtype=torch.bool, device=log_w.device).unsqueeze(-1)
    return log_w.unsqueeze(1).expand(-1, samples, -1).masked_fill(own, -torch.inf).logsumexp(0)


def normalised(log_w: Tensor) -> Tensor:
    """The self-normalised weights, `(K, B)`, without a graph."""
    return log_w.detach().softmax(0)
