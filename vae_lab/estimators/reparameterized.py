"""The reparameterised (pathwise) gradient."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch


class Reparameterized(SingleSampleEstimator):
    r"""The reparameterised gradient of the evidence lower bound.

    $$\nabla \frac1K \sum_k \log p(x|z_k) - \beta\, \mathrm{KL}, \quad z_k = g(\epsilon_k, x)$$

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), equations 6 (`kl=sampled`) and 7
        (`kl=analytic`).

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

    requires = SingleSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        bound = terms.bound(self.weight)
        return Estimate(surrogate=bound, bound=bound.detach(), terms=terms.report(self.weight))
