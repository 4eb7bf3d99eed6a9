"""What a likelihood family offers."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from vae_lab.likelihoods.support import Support
from vae_lab.noise import Law, NoiseSpec


class Pixels(Protocol):
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
    """A family of distributions, called with the decoder's outputs to give `Pixels`.

    Attributes:
        num_outputs: How many numbers per pixel the decoder must give, stacked along the first data dimension.
        noise_law: Base law of the noise that `sample` takes, or None if there is no sampling.
        support: Where the data must lie.
        levels: How many values a pixel takes, evenly spaced in [0, 1], if p(x|z) is a probability; None if
            it is a density.
    """

    num_outputs: int
    noise_law: Law | None
    support: Support
    levels: int | None = None

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
        if self.noise_law is None:
            raise ValueError(f"{type(self).__name__} cannot be sampled.")
        return NoiseSpec(self.noise_law, 1, tuple(data_shape))
