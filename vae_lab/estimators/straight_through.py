"""The straight-through gradient for discrete latent variables, a biased one."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch


class StraightThrough(SingleSampleEstimator):
    r"""The gradient that a sample would have if it were the mean of q.

    $$\nabla \log p(x|z) \text{ with } \nabla_\phi z := \nabla_\phi E_{q_\phi}[z]$$

    Unbiased where f is linear in z, and nowhere else. For the relaxed sample in place of the mean see
    `GumbelSoftmax` with `straight_through`.

    References:
        Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation (Bengio,
        Léonard & Courville, 2013), section 4.

    Args:
        num_samples: `K`, at least 1.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {Needs.DISCRETE_LATENTS}
    bias: str | None = "straight_through: the gradient by a sample is passed on as that by the mean"

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]) + q.mean - q.mean.detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        bound = terms.bound(self.weight)
        return Estimate(bound, bound.detach(), terms.report(self.weight))
