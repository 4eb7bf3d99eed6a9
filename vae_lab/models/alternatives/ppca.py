"""Probabilistic principal component analysis."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.noise import NoiseSource, NoiseSpec


class PPCA(DirectlyFitted):
    r"""$p(x) = N(x; \mu, W W^\top + \sigma^2 I)$ at its maximum of likelihood, by scikit-learn's PCA.

    $$W = U_q (\Lambda_q - \sigma^2 I)^{1/2}, \quad \sigma^2 = \frac{1}{D - q} \sum_{d > q} \lambda_d$$

    with the eigenvalues of the sample covariance. `model=linear` with a Gaussian likelihood of one variance
    is the same model, trained as a VAE.

    References:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), equations 6 to 8.

    Args:
        data_shape: Shape of one datum, `D` numbers.
        latent_dim: `q`, at least 1 and below `D` and the number of data.

    Raises:
        ValueError: If `latent_dim` is out of its range.
    """

    support = "real"
    levels = None
    mean: Tensor
    weight: Tensor
    variance: Tensor

    def __init__(self, data_shape: Sequence[int], latent_dim: int = 8) -> None:
        super().__init__(data_shape)
        size = math.prod(data_shape)
        if not 1 <= latent_dim < size:
            raise ValueError(f"latent_dim must be at least 1 and below {size}, got {latent_dim}.")
        self.latent_dim = latent_dim
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("weight", torch.zeros(size, latent_dim, dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))

    @property
    def num_parameters(self) -> int:
        size, q = self.weight.shape
        return size * q - q * (q - 1) // 2 + size + 1  # W is known up to a rotation

    def fit(self, x: Tensor, noise: NoiseSource) -> Iterator[dict[str, float]]:
        from sklearn.decomposition import PCA

        if self.latent_dim >= len(x):
            raise ValueError(f"latent_dim must be below {len(x)}, the data, got {self.latent_dim}.")
        fit = PCA(svd_solver="full").fit(x.flatten(1).double().numpy())
        eigenvalues = torch.from_numpy(fit.explained_variance_) * (len(x) - 1) / len(x)
        q, size = self.latent_dim, len(fit.mean_)
        variance = eigenvalues[q:].sum() / (size - q)  # scikit-learn's own is over those that are not 0
        if not variance > 0:
            raise ValueError(
                f"latent_dim={self.latent_dim} leaves no noise in these data; use a smaller one."
            )
        self.mean = torch.from_numpy(fit.mean_)
        self.variance = variance
        lengths = (eigenvalues[:q] - variance).clamp(min=0).sqrt()
        self.weight = torch.from_numpy(fit.components_[:q]).T * lengths
        yield {"log_likelihood": self.log_prob(x).mean().item()}

    def log_prob(self, x: Tensor) -> Tensor:
        variance = self.variance.expand(len(self.mean))
        p = torch.distributions.LowRankMultivariateNormal(self.mean, self.weight, variance)
        return p.log_prob(x.flatten(1).double())

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {
            "latent": NoiseSpec("normal", 1, (self.latent_dim,)),
            "pixels": NoiseSpec("normal", 1, (len(self.mean),)),
        }

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        latent, pixels = (noise[name][0].double() for name in ("latent", "pixels"))
        x = self.mean + latent @ self.weight.T + self.variance.sqrt() * pixels
        return x.unflatten(1, self.data_shape)
