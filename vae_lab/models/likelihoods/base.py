"""Likelihood families p(x|z), and the distribution that one gives."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from vae_lab.models.likelihoods.support import Support
from vae_lab.noise import BaseDistribution, NoiseSpec


class PixelDistribution(Protocol):
    """p(x|z) for `K` latent samples of each of `B` data: parameters of shape `(K, B, *data_shape)`."""

    @property
    def mean(self) -> Tensor:
        """E[x|z] of shape `(K, B, *data_shape)`."""
        ...

    @property
    def mode(self) -> Tensor:
        """The likeliest x of shape `(K, B, *data_shape)`."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x|z) of shape `(K, B)` for data `(B, *data_shape)`, in nats, summed over the pixels."""
        ...

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        """The terms of `log_prob`, one for each pixel, `(K, B, *data_shape)`."""
        ...

    def sample(self, eps: Tensor) -> Tensor:
        """Data of shape `(K, B, *data_shape)` from base noise of that shape."""
        ...


class Likelihood(nn.Module):
    """A family of distributions, called with the decoder's outputs to give a `PixelDistribution`.

    Attributes:
        num_outputs: How many numbers per pixel the decoder must give, stacked along the first data dimension.
        base_distribution: Base distribution of the noise that `sample` takes; None without sampling.
        support: Where the data must lie.
        levels: How many values a pixel takes, evenly spaced in [0, 1], if p(x|z) is a probability; None if
            it is a density.
        is_over_pixels: Whether the data are pixels, each described by its own numbers; else the decoder's
            outputs and the data have shapes of their own.
        learns_scale: Whether a scale without a bound is learned, by which log p(x|z) can become infinite.
    """

    num_outputs: int
    base_distribution: BaseDistribution | None
    support: Support
    levels: int | None = None
    is_over_pixels: bool = True
    learns_scale: bool = False

    def output_shape(self, data_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the decoder's outputs for data of this shape.

        Raises:
            ValueError: If they are no pixels.
        """
        if len(data_shape) == 2:
            raise ValueError(
                f"{type(self).__name__} describes pixels, and the data are a table of shape "
                f"{tuple(data_shape)}; use model=logistic_regression."
            )
        return (self.num_outputs * data_shape[0], *data_shape[1:])

    def measures(self, outputs: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Further measures of p(x|z), each a term per datum `(B,)`.

        Args:
            outputs: Of the decoder, for samples of q(z|x), `(K, B, ...)`.
            x: Data `(B, *data_shape)`.
        """
        return {}

    def outputs_of_mean(self, mean: Tensor) -> Tensor:
        """The decoder's outputs whose pixels have about this mean `data_shape`.

        Raises:
            ValueError: If that is not known for the family.
        """
        raise ValueError(f"{type(self).__name__} has more parameters than a mean; use bernoulli.")

    def sample_spec(self, data_shape: Sequence[int]) -> NoiseSpec:
        """The noise for a sample of each datum.

        Raises:
            ValueError: If it cannot be sampled.
        """
        if self.base_distribution is None:
            raise ValueError(f"{type(self).__name__} cannot be sampled.")
        return NoiseSpec(self.base_distribution, 1, tuple(data_shape))
