"""The score-function gradient of the importance-weighted bound with an optimal control variate."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate
from vae_lab.estimators.multi_sample import MultiSampleEstimator, log_mean, log_sum_of_others, normalised
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class OVIS(MultiSampleEstimator):
    r"""The score-function gradient of the importance-weighted bound, its control variate close to the best.

    $$\nabla_\phi: \sum_k (d_k - c_k) \nabla_\phi \log q(z_k|x), \quad d_k = \log \hat Z - v_k, \quad
      \nabla_\theta: \sum_k v_k \nabla_\theta \log p_\theta(x, z_k)$$

    with $\hat Z$ the mean weight and $v_k$ the normalised ones. The best $c_k$ that does not depend on $z_k$
    is close to the expectation of $d_k$ over $z_k$, given the other samples. With auxiliary samples it is
    estimated: $c_k$ is the mean of $d_k$ over $z_k$ replaced by each of them. Without, it is the limit of
    many samples, with $\hat Z_{-k}$ the mean of the other weights,

    $$c_k = \log \hat Z_{-k} - \frac{\gamma}{K} + (1 - \gamma) \log\left(1 - \frac1K\right),$$

    where `gamma` is 1 for an effective sample size far above 1, and 0 for one near 1. With 1 the variance
    falls as $K^{-3}$, as that of `DReG`, and the signal-to-noise ratio grows as the square root of K. No
    derivative passes through a sample.

    1/K is the expectation of $v_k$. To subtract $\gamma v_k$ itself, as the authors' code does, would make
    $c_k$ depend on $z_k$, and the gradient would be biased.

    References:
        Optimal Variance Control of the Score Function Gradient Estimator for Importance Weighted Bounds
        (Liévin, Dittadi, Christensen & Winther, 2020), equations 12 and 17.

    Args:
        num_samples: `K`, at least 1; at least 2 without auxiliary samples.
        num_auxiliary: Auxiliary samples, each of which costs a pass through the decoder; 0 for the limit.
        gamma: From 0 to 1; must be 1 with auxiliary samples, where it has no part.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        num_samples: int = 5,
        num_auxiliary: int = 0,
        gamma: float = 1.0,
        kl: Literal["sampled"] = "sampled",
    ) -> None:
        super().__init__(num_samples, kl)
        if num_auxiliary < 0:
            raise ValueError(f"num_auxiliary must not be negative, got {num_auxiliary}.")
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma must be from 0 to 1, got {gamma}.")
        if num_auxiliary and gamma != 1:
            raise ValueError(f"gamma must be 1 with num_auxiliary={num_auxiliary}, got {gamma}.")
        if not num_auxiliary and num_samples < 2:
            raise ValueError(f"num_samples must be at least 2 without num_auxiliary, got {num_samples}.")
        self.num_auxiliary = num_auxiliary
        self.gamma = gamma

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        spec = super().noise_spec(vae, batch)
        if self.num_auxiliary:
            spec["auxiliary"] = spec["posterior"]._replace(num_samples=self.num_auxiliary)
        return spec

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        densities = self.log_densities(vae, batch.x, z, q)
        log_w, weights = densities.log_w.detach(), normalised(densities.log_w)
        surrogate = (weights * (densities.log_likelihood + densities.log_prior)).sum(0)
        if torch.is_grad_enabled():
            auxiliary = self._auxiliary(vae, batch, q, noise) if self.num_auxiliary else None
            signal = log_mean(log_w) - weights - self._control_variate(log_w, auxiliary)
            surrogate = surrogate + (signal * densities.log_q).sum(0)
        return self.estimate(surrogate, densities)

    def _auxiliary(
        self, vae: VAE, batch: Batch, q: PosteriorDistribution, noise: Mapping[str, Tensor]
    ) -> Tensor:
        """The log-weights of the auxiliary samples, `(S, B)`."""
        with torch.no_grad():
            z = q.transform(noise["auxiliary"])
            return self.log_densities(vae, batch.x, z, q).log_w

    def _control_variate(self, log_w: Tensor, auxiliary: Tensor | None) -> Tensor:
        """c_k of shape `(K, B)`, which does not depend on the weight of sample k."""
        of_others, samples = log_sum_of_others(log_w), len(log_w)
        if auxiliary is None:
            limit = -self.gamma / samples + (1 - self.gamma) * math.log(1 - 1 / samples)
            return of_others - math.log(samples - 1) + limit
        replaced = auxiliary.unsqueeze(1)
        log_sum = torch.logaddexp(of_others, replaced)
        return (log_sum - math.log(samples) - (replaced - log_sum).exp()).mean(0)
