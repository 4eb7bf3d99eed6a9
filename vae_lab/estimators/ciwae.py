"""The pathwise gradient of a bound between the evidence lower bound and the importance-weighted one."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from vae_lab.estimators.base import Estimate, Estimator, Needs
from vae_lab.estimators.dreg import DReG
from vae_lab.estimators.multi_sample import MultiSampleEstimator, log_mean
from vae_lab.estimators.reparameterized import Reparameterized
from vae_lab.models.vae import VAE, Batch


class CIWAE(MultiSampleEstimator):
    r"""The combination of the two bounds, from the same samples.

    $$\beta L_1 + (1 - \beta) L_K, \quad L_1 = \frac1K \sum_k \log w_k$$

    References:
        Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018).

    Args:
        num_samples: `K`, at least 1.
        beta: From 0, the importance-weighted bound, to 1, the evidence lower bound.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If an argument is out of its range.
    """

    requires = MultiSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def __init__(self, num_samples: int = 5, beta: float = 0.5, kl: Literal["sampled"] = "sampled") -> None:
        super().__init__(num_samples, kl)
        if not 0 <= beta <= 1:
            raise ValueError(f"beta must be from 0 to 1, got {beta}.")
        self.beta = beta
        self.target = f"{beta:g} L_1 + {1 - beta:g} L_{num_samples}"
        self.objective = f"what is ascended is {self.target}"

    def reference(self, vae: VAE) -> Estimator:
        if self.beta == 0:
            return DReG(self.num_samples)
        return Reparameterized(self.num_samples, kl="sampled") if self.beta == 1 else self

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        densities = self.log_densities(vae, batch.x, q.transform(noise["posterior"]), q)
        log_w = densities.log_w
        return self.estimate(self.beta * log_w.mean(0) + (1 - self.beta) * log_mean(log_w), densities)
