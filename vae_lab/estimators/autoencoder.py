"""The plain autoencoder, for comparison."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Estimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class Autoencoder(Estimator):
    r"""The plain autoencoder: the posterior's variance forced to zero and no KL term.

    $$\nabla \log p(x \mid z = \mu(x))$$

    Its target is the reconstruction; a bound, a KL term and a likelihood are not defined for it.

    References:
        Reducing the dimensionality of data with neural networks (Hinton & Salakhutdinov, 2006).
    """

    target = "reconstruction"
    selection = "reconstruction"

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        return {}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        z = vae.encode(batch).mean.unsqueeze(0)
        reconstruction = vae.decode(z).log_prob(batch.x).squeeze(0)
        detached = reconstruction.detach()
        return Estimate(reconstruction, detached, terms={"reconstruction": detached})
