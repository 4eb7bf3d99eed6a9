"""Synthetic linear-Gaussian data with a known log-likelihood."""

import math

import numpy as np
import torch
from torch import Tensor

from vae_lab.datasets.base import Split, SplitDataset, Splits


class PPCA(SplitDataset):
    r"""Data drawn from probabilistic PCA, $x = W z + \mu + \sigma \epsilon$, so that log p(x) is known.

    $$\log p(x) = \log N(x; \mu, W W^\top + \sigma^2 I)$$

    The columns of W are orthogonal: the true posterior has a diagonal covariance, and a linear VAE with a
    diagonal Gaussian posterior can make the evidence lower bound equal log p(x).

    References:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), equations 2 and 4.

    Args:
        batch_size: Global batch size.
        data_dim: Length of x.
        latent_dim: Length of z, at least 1 and at most `data_dim`.
        noise_std: $\sigma$, above 0.
        scales: Lengths of the first and of the last column of W, each above 0; those between go evenly.
        train_size: Data to train on; a tenth as many are drawn for validation, and again for the test.
        split_seed: Seed of W, of $\mu$ and of the data.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> data = PPCA(data_dim=4, latent_dim=2)
        >>> data.log_prob(data.data.test.x).shape
        torch.Size([200])
    """

    def __init__(
        self,
        batch_size: int = 100,
        data_dim: int = 10,
        latent_dim: int = 3,
        noise_std: float = 0.5,
        scales: tuple[float, float] = (2.0, 1.0),
        train_size: int = 2000,
        split_seed: int = 0,
    ) -> None:
        super().__init__(batch_size, binarize="none", split_seed=split_seed)
        if not 1 <= latent_dim <= data_dim:
            raise ValueError(
                f"latent_dim must be at least 1 and at most data_dim={data_dim}, got {latent_dim}."
            )
        if not noise_std > 0:
            raise ValueError(f"noise_std must be above 0, got {noise_std}.")
        if not min(scales) > 0:
            raise ValueError(f"scales must be above 0, got {list(scales)}.")
        if train_size < 10:
            raise ValueError(f"train_size must be at least 10, got {train_size}.")
        self.train_size = train_size
        self.noise_std = noise_std
        generator = np.random.default_rng([split_seed, 0])
        columns = np.linalg.qr(generator.standard_normal((data_dim, latent_dim)))[0]
        self.weight = torch.from_numpy(columns * np.linspace(*scales, latent_dim))
        self.mean = torch.from_numpy(generator.standard_normal(data_dim))

    def load(self) -> Splits:
        sizes = [self.train_size, self.train_size // 10, self.train_size // 10]
        return Splits(*(self._draw(size, part) for part, size in enumerate(sizes, start=1)))

    def log_prob(self, x: Tensor) -> Tensor:
        """The exact log p(x) in nats, `(N, data_dim)` to `(N,)` in float64."""
        covariance = self.weight @ self.weight.T + self.noise_std**2 * torch.eye(len(self.mean)).double()
        cholesky = torch.linalg.cholesky(covariance)
        centred = (x.double().cpu() - self.mean).T
        whitened = torch.linalg.solve_triangular(cholesky, centred, upper=False)
        log_det = 2 * cholesky.diagonal().log().sum()
        return -0.5 * (whitened.square().sum(0) + log_det + len(self.mean) * math.log(2 * math.pi))

    def _draw(self, size: int, part: int) -> Split:
        generator = np.random.default_rng([self.split_seed, part])
        data_dim, latent_dim = self.weight.shape
        z = torch.from_numpy(generator.standard_normal((size, latent_dim)))
        noise = torch.from_numpy(generator.standard_normal((size, data_dim)))
        return Split((z @ self.weight.T + self.mean + self.noise_std * noise).float())
