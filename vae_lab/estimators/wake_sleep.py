"""The wake-sleep algorithm."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class WakeSleep(SingleSampleEstimator):
    r"""Wake-sleep: the model learns from data explained by q, and q from data that the model generates.

    $$\nabla_\theta: \frac1K \sum_k \nabla_\theta \log p_\theta(x, z_k), \quad z_k \sim q_\phi(z|x)$$
    $$\nabla_\phi: \nabla_\phi \log q_\phi(z'|x'), \quad z' \sim p(z), \; x' \sim p_\theta(x|z')$$

    The wake phase is unbiased for the bound's gradient with respect to the model. The sleep phase descends
    KL(p(z|x) || q(z|x)) over dreamed data instead of KL(q(z|x) || p(z|x)) over real ones: no one function is
    descended by both. With a batch of `B` data the model generates `B` more.

    References:
        The wake-sleep algorithm for unsupervised neural networks (Hinton et al., 1995), as the baseline of
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 5.

    Args:
        num_samples: `K` of the wake phase, at least 1.
        kl: Form of the KL term of the bound that is reported; the gradient does not depend on it.

    Raises:
        ValueError: If `num_samples` is below 1.
    """

    requires = SingleSampleEstimator.requires | {Needs.AMORTIZED_ENCODER, Needs.SAMPLED_LIKELIHOOD}
    bias = "wake-sleep: the encoder learns from dreamed data, by another objective than the bound"

    def __init__(self, num_samples: int = 1, kl: KL = "analytic") -> None:
        super().__init__(num_samples, kl)

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        spec = super().noise_spec(vae, batch)
        if self.training:  # what is evaluated is the bound, for which nothing is dreamed
            assert vae.likelihood.base_distribution is not None
            spec["dreamed_latent"] = vae.prior.noise_spec(num_samples=1)
            spec["dreamed_data"] = NoiseSpec(vae.likelihood.base_distribution, 1, tuple(batch.x.shape[1:]))
        return spec

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        with torch.no_grad():
            q = vae.encode(batch)
            z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        surrogate = terms.log_likelihood.mean(0) + vae.prior.log_prob(z).mean(0)  # wake
        if self.training:
            surrogate = surrogate + self._sleep(vae, batch, noise)
        return Estimate(surrogate, terms.bound(self.beta).detach(), terms.report(self.beta))

    def _sleep(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        """log q(z'|x') of shape `(B,)` for as many dreamed pairs as there are data."""
        with torch.no_grad():
            z = vae.prior.sample(noise["dreamed_latent"])
            x = vae.decode(z).sample(noise["dreamed_data"])[0]
        return vae.encode(Batch(x, batch.indices)).log_prob(z)[0]
