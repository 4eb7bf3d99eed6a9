"""The pathwise gradient of the importance-weighted bound of what is observed."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.iwae import IWAE
from vae_lab.models.observed import of_observed
from vae_lab.models.vae import VAE, Batch


class MIWAE(IWAE):
    r"""The importance-weighted bound of log p(x_o), for data that miss pixels at random.

    $$L_K = E\Big[\log \frac1K \sum_{k=1}^K \frac{p(x_o|z_k) p(z_k)}{q(z_k|x_o)}\Big], \quad
      z_k \sim q(z|x_o)$$

    A missing pixel is NaN. The encoder sees zero in its place, and p(x|z) is that of the others alone. With
    nothing missing it is `IWAE`; with one sample, the evidence lower bound of a VAE on observed pixels. What
    Rainforth et al. (2018) call MIWAE is the mean over groups of samples, `num_groups`.

    References:
        MIWAE: deep generative modelling and imputation of incomplete data sets (Mattei & Frellsen, 2019),
        equation 5; Handling incomplete heterogeneous data using VAEs (Nazábal et al., 2020), for one sample.

    Args:
        num_samples: `K`, at least 1, all groups together.
        kl: `sampled`; a bound of several samples has no analytic form.
        num_groups: `M`, at least 1, which divides `K`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    requires = IWAE.requires - {Needs.COMPLETE_DATA} | {Needs.AMORTIZED_ENCODER, Needs.PIXELS}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        return super().forward(of_observed(vae), batch, noise)
