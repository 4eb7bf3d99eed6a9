"""Sticking the landing: the pathwise gradient without its score term."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch


class StickingTheLanding(SingleSampleEstimator):
    r"""The reparameterised gradient whose log q is differentiated through the sample alone.

    $$\frac1K \sum_k \nabla_{z} [\log p(x|z) + \beta (\log p(z) - \log q(z|x))]_{z = z_k} \nabla_\phi z_k$$

    The term left out, the score of q at its own samples, has expectation zero, so that the estimate stays
    unbiased for every beta; its variance vanishes as q approaches the posterior, and is larger than that of
    `Reparameterized` far from it.

    References:
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference (Roeder, Wu
        & Duvenaud, 2017), section 3.

    Args:
        num_samples: `K`, at least 1.
        kl: `sampled`; no other form of the KL term has a score term to leave out.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.

    Raises:
        ValueError: If a number is out of its range, or `kl` is not `sampled`.
    """

    requires = SingleSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def __init__(
        self,
        num_samples: int = 1,
        kl: Literal["sampled"] = "sampled",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
    ) -> None:
        if kl != "sampled":
            raise ValueError(f"kl must be sampled, got {kl}: no other form has a score term to leave out.")
        super().__init__(num_samples, kl, beta, warm_up, cycles)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        bound = terms.bound(self.weight)
        return Estimate(surrogate=bound, bound=bound.detach(), terms=terms.report(self.weight))
