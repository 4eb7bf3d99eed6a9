"""Which latent dimensions a model uses."""

import torch
from torch import Tensor

from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

THRESHOLD = 1e-2
SAMPLES = 50  # of each of two means, where the mean of q has no closed form


class ActiveUnits:
    r"""Counts the latent dimensions whose posterior mean varies over the data.

    $$A_d = \mathrm{Var}_x(E_{q(z|x)}[z_d]) > 10^{-2}$$

    The variance of a mean that is sampled would hold the noise of the sampling; the covariance of two such
    means, from different samples, does not.

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.1.

    Args:
        latent_dim: `D`.

    Example:
        >>> units = ActiveUnits(latent_dim=2)
        >>> means = torch.tensor([[0.0, 1.0], [0.0, -1.0]])
        >>> units.add(means, means)
        >>> units.count(units.sums)
        1
    """

    def __init__(self, latent_dim: int) -> None:
        self.sums = torch.zeros(4, latent_dim, dtype=torch.float64)  # number, both sums, sum of products

    def add(self, means: Tensor, again: Tensor) -> None:
        """Adds E[z] of some data, `(B, D)`, and the same again or from other samples."""
        first, second = (each.detach().double().cpu() for each in (means, again))
        self.sums += torch.stack([torch.ones_like(first), first, second, first * second]).sum(1)

    def count(self, sums: Tensor, threshold: float = THRESHOLD) -> int:
        """The number of active dimensions, from sums that may come from several processes."""
        return int((self.variances(sums) > threshold).sum())

    def variances(self, sums: Tensor) -> Tensor:
        """The variance of the posterior mean in each dimension, `(D,)`."""
        count, first, second, products = sums
        return products / count - first * second / count.square()


@torch.no_grad()
def posterior_means(vae: VAE, batch: Batch, noise: NoiseSource) -> tuple[Tensor, Tensor]:
    """E[z] under q(z|x) twice, `(B, D)` each: in closed form, or else from different samples.

    Args:
        vae: The model.
        batch: `B` data.
        noise: Source of evaluation noise.
    """
    q = vae.encode(batch)
    if vae.posterior.has_mean:
        return q.mean, q.mean
    eps = batch.draw(noise, vae.posterior_noise(2 * SAMPLES), "posterior mean")["posterior"]
    first, second = q.transform(eps).unflatten(0, (2, SAMPLES)).mean(1)
    return first, second
