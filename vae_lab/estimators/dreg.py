"""The doubly reparameterised gradient of the importance-weighted bound."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.multi_sample import MultiSampleEstimator, normalised
from vae_lab.models.vae import VAE, Batch


class DReG(MultiSampleEstimator):
    r"""The doubly reparameterised gradient: the score term of IWAE is reparameterised once more.

    $$\nabla_\phi: \sum_k \tilde w_k^2 \frac{\partial \log w_k}{\partial z_k} \nabla_\phi z_k, \quad
      \nabla_\theta: \sum_k \tilde w_k \nabla_\theta \log p_\theta(x, z_k)$$

    Unbiased; its signal-to-noise ratio grows with K, and it is sticking the landing for K = 1. One pass
    through the decoder serves both: what flows back into z is weighted by the normalised weight once more.

    References:
        Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019).

    Args:
        num_samples: `K`, at least 1.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If `num_samples` is below 1 or `kl` is not `sampled`.
    """

    requires = MultiSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        densities = self.log_densities(vae, batch.x, z, q.detach())
        log_w = densities.log_w
        weights = normalised(log_w)
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * weights.unsqueeze(-1))
        return self.estimate((weights * log_w).sum(0), densities)
