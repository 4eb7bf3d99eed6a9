"""Priors p(z)."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from vae_lab.noise import BaseDistribution, NoiseSpec

Support = Literal["real", "positive", "binary", "one-hot"]


class Prior(nn.Module):
    """A distribution p(z) over latent vectors of `D` dimensions.

    Attributes:
        factorises: Whether p(z) is a product over the latent dimensions.
        layer_dims: The sizes of the layers of latent variables, the first of which the decoder sees; empty
            for a single layer.
        has_terms: Whether `log_prob` is a sum over the latent dimensions, each given others.
        needs_encoder: Whether it is made of the encoder, to which it must be connected.
        support: Which numbers the latent variables are.
        is_standard_normal: Whether p(z) is N(0, I).
    """

    factorises: bool = False
    layer_dims: Sequence[int] = ()
    has_terms: bool = False
    needs_encoder: bool = False
    support: Support = "real"
    is_standard_normal: bool = False

    def connect(self, encoder: nn.Module, posterior: Any) -> None:
        """Gives the prior what q(z|x) is made of."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z), in nats, summed over the last dimension: `(K, B, D)` gives `(K, B)`."""
        raise NotImplementedError

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """The terms of `log_prob`, one for each dimension, `(K, B, D)`."""
        raise NotImplementedError

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        """The noise that `sample` takes for `num_samples` draws per datum."""
        raise NotImplementedError

    def sample(self, eps: Tensor) -> Tensor:
        """Latent vectors `(K, B, D)` from base noise `(K, B, D)`."""
        raise NotImplementedError


class FactorisedPrior(Prior):
    """A product of one distribution over the latent dimensions.

    Attributes:
        base_distribution: Base distribution of the noise that `sample` takes.

    Args:
        latent_dim: `D`, at least 1.
    """

    factorises = True
    has_terms = True
    base_distribution: BaseDistribution

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec(self.base_distribution, num_samples, (self.latent_dim,))
