"""The score-function gradient of the importance-weighted bound with per-sample baselines."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate
from vae_lab.estimators.multi_sample import MultiSampleEstimator, log_mean, log_sum_of_others, normalised
from vae_lab.models.vae import VAE, Batch


class VIMCO(MultiSampleEstimator):
    r"""The score-function gradient of the importance-weighted bound, each sample judged against the others.

    $$\sum_k (\hat L - \hat L_{-k}) \nabla_\phi \log q(z_k|x) + \sum_k \tilde w_k \nabla \log w_k$$

    $\hat L_{-k}$ is the bound with the weight of sample k replaced by a mean of the other weights. No
    derivative passes through a sample.

    References:
        Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016).

    Args:
        num_samples: `K`, at least 2.
        mean: `geometric` or `arithmetic` mean of the other weights.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If `num_samples` is below 2 or `kl` is not `sampled`.
    """

    def __init__(
        self,
        num_samples: int = 5,
        mean: Literal["geometric", "arithmetic"] = "geometric",
        kl: Literal["sampled"] = "sampled",
    ) -> None:
        super().__init__(num_samples, kl)
        if num_samples < 2:
            raise ValueError(f"num_samples must be at least 2 for VIMCO, got {num_samples}.")
        self.mean = mean

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        densities = self.log_densities(vae, batch.x, z, q)
        log_w = densities.log_w
        advantage = log_mean(log_w.detach()) - self._without_each(log_w.detach())
        surrogate = (advantage * densities.log_q + normalised(log_w) * log_w).sum(0)
        return self.estimate(surrogate, densities)

    def _without_each(self, log_w: Tensor) -> Tensor:
        """The bound with each sample's weight replaced in turn, `(K, B)`."""
        samples, of_others = len(log_w), log_sum_of_others(log_w)
        if self.mean == "arithmetic":  # which leaves the mean as it is
            return of_others - math.log(samples - 1)
        replacement = (log_w.sum(0) - log_w) / (samples - 1)
        return torch.logaddexp(of_others, replacement) - math.log(samples)
