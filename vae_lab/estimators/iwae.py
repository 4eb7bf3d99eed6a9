"""The pathwise gradient of the importance-weighted bound."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.dreg import DReG
from vae_lab.estimators.multi_sample import MultiSampleEstimator, check_groups, mean_of_groups
from vae_lab.models.vae import VAE, Batch


class IWAE(MultiSampleEstimator):
    r"""The reparameterised gradient of the importance-weighted bound.

    $$\nabla \log \frac1K \sum_k w_k = \sum_k \tilde w_k \nabla \log w_k, \quad
      \tilde w_k = \frac{w_k}{\sum_l w_l}$$

    The signal-to-noise ratio of its gradient for the encoder falls as K grows. With M groups the objective is
    the mean of the bounds of K/M samples each,

    $$\frac1M \sum_{m=1}^M \log \frac{M}{K} \sum_{k=1}^{K/M} w_{mk},$$

    whose expectation is $L_{K/M}$: less tight, with a ratio that grows as the square root of M. Rainforth et
    al. call it MIWAE, the name that `MIWAE` here has from Mattei & Frellsen (2019) for missing pixels.

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8; Tighter
        Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), theorem 1, and
        their MIWAE for the groups.

    Args:
        num_samples: `K`, at least 1, all groups together.
        kl: `sampled`; a bound of several samples has no analytic form.
        num_groups: `M`, at least 1, which divides `K`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    requires = MultiSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def __init__(self, num_samples: int = 5, kl: Literal["sampled"] = "sampled", num_groups: int = 1) -> None:
        super().__init__(num_samples, kl)
        check_groups(num_samples, num_groups)
        self.num_groups = num_groups
        self.target = f"L_{num_samples // num_groups}"

    def reference(self, vae: VAE) -> DReG:
        return DReG(self.num_samples // self.num_groups)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        densities = self.log_densities(vae, batch.x, q.transform(noise["posterior"]), q)
        surrogate = mean_of_groups(densities.log_w, self.num_groups)
        return self.estimate(surrogate, densities, self.num_groups)
