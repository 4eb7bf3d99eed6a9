"""The exact gradient for discrete latent variables of few values."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.posteriors.discrete import is_enumerable
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class Enumeration(SingleSampleEstimator):
    r"""The evidence lower bound itself, the sum over all values of discrete latent variables.

    $$\sum_z q(z|x) \log p(x|z) - \beta\, \mathrm{KL}$$

    Its gradient has no variance; its cost is a pass through the decoder for each value.

    Args:
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`, which are all the same here.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {Needs.DISCRETE_LATENTS, Needs.FEW_VALUES}

    def __init__(
        self,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__(1, kl, beta, warm_up, cycles, free_bits)

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        return {}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q, posterior = vae.encode(batch), vae.posterior
        assert is_enumerable(posterior)
        states = posterior.states().to(q.mean)
        z = states.unsqueeze(1).expand(-1, len(batch.x), -1)
        weights = len(z) * q.log_prob(z).exp()  # the mean over the first dimension is that under q
        at_z = self.bound_terms(vae, batch.x, z, q, density=q)
        terms = at_z._replace(
            log_likelihood=weights * at_z.log_likelihood, sampled_kl=weights * at_z.sampled_kl
        )
        bound = terms.bound(self.weight)
        return Estimate(bound, bound.detach(), terms.report(self.weight))
