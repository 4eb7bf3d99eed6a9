"""The pathwise gradient of the importance-weighted bound."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, check_pathwise
from vae_lab.estimators.dreg import DReG
from vae_lab.estimators.multi_sample import MultiSampleEstimator, log_mean
from vae_lab.vae import VAE, Batch


class IWAE(MultiSampleEstimator):
    r"""The reparameterised gradient of the importance-weighted bound.

    $$\nabla \log \frac1K \sum_k w_k = \sum_k \tilde w_k \nabla \log w_k, \quad
      \tilde w_k = \frac{w_k}{\sum_l w_l}$$

    The signal-to-noise ratio of its gradient for the encoder falls as K grows.

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8; Tighter
        Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), theorem 1.

    Args:
        num_samples: `K`, at least 1.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If `num_samples` is below 1 or `kl` is not `sampled`.
    """

    def check(self, vae: VAE) -> None:
        check_pathwise(vae)

    def reference(self, vae: VAE) -> DReG:
        return DReG(self.num_samples)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        densities = self.log_densities(vae, batch.x, q.transform(noise["posterior"]), q)
        return self.estimate(log_mean(densities.log_w), densities)
