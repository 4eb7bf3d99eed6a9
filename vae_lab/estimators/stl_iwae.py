"""Sticking the landing for the importance-weighted bound."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.multi_sample import MultiSampleEstimator, normalised
from vae_lab.models.vae import VAE, Batch


class STLIWAE(MultiSampleEstimator):
    r"""The pathwise gradient of the importance-weighted bound without its score term; biased for K > 1.

    $$\sum_k \tilde w_k \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k$$

    For K > 1 the term left out has an expectation other than zero. The signal-to-noise ratio is high and
    misleads: the estimate points the wrong way by a part that grows with K.

    References:
        Sticking the Landing (Roeder, Wu & Duvenaud, 2017); its bias: Doubly Reparameterized
        Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019).

    Args:
        num_samples: `K`, at least 1.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If `num_samples` is below 1 or `kl` is not `sampled`.
    """

    requires = MultiSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def __init__(self, num_samples: int = 5, kl: Literal["sampled"] = "sampled") -> None:
        super().__init__(num_samples, kl)
        if num_samples > 1:
            self.bias = "sticking the landing drops a score term of non-zero expectation for num_samples > 1"

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        densities = self.log_densities(vae, batch.x, q.transform(noise["posterior"]), q.detach())
        log_w = densities.log_w
        return self.estimate((normalised(log_w) * log_w).sum(0), densities)
