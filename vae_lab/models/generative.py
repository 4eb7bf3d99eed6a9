"""A model of data: what a VAE and the models that it replaces have in common."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from torch import Tensor, nn

from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.likelihoods.support import Support
from vae_lab.noise import NoiseSpec

LogLikelihood = Literal["exact", "predictive"]


class GenerativeModel(nn.Module):
    """A model p(x), with latent variables z or without.

    Attributes:
        has_latents: Whether there are latent variables with a prior p(z) and a decoder p(x|z), as those of
            `vae_lab.models.vae.VAE`.
        log_likelihood: The kind of `log_prob`: `exact` for the fitted parameters, or the `predictive` density
            of an approximate posterior over them; None without `log_prob`, where a bound takes its place.
        likelihood: Family of the pixels; None for a model without one.
        support: Where the data must lie.
        levels: How many values a pixel takes if p(x) is a probability; None if it is a density.
        is_over_pixels: Whether the data are pixels, each described by its own numbers.
    """

    has_latents: ClassVar[bool] = False
    log_likelihood: LogLikelihood | None = None
    likelihood: Likelihood | None
    support: Support
    levels: int | None
    is_over_pixels: bool = True

    def __init__(self) -> None:
        super().__init__()
        self.likelihood = None

    def describe_by(self, likelihood: Likelihood) -> None:
        """Takes a family of the pixels, and with it the data that can be scored."""
        self.likelihood = likelihood
        self.support = likelihood.support
        self.levels = likelihood.levels
        self.is_over_pixels = likelihood.is_over_pixels

    @property
    def scorer_name(self) -> str:
        """Name of the class by which data are scored, for messages."""
        return type(self).__name__

    @property
    def has_encoder(self) -> bool:
        """Whether there is a q(z|x), and with it a bound."""
        return False

    @property
    def is_amortized(self) -> bool:
        """Whether q(z|x) is a function of x, which serves every datum."""
        return False

    @property
    def is_per_datum(self) -> bool:
        """Whether q has parameters of its own for each training datum."""
        return False

    @property
    def encodes_whole_data(self) -> bool:
        """Whether q(z|x) is computed from x, of which no part can be left out."""
        return False

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained, or free."""
        return sum(parameter.numel() for parameter in self.parameters())

    def generative_parameters(self) -> list[nn.Parameter]:
        """The parameters of the model itself: p(x), or p(x, z)."""
        return list(self.parameters())

    def inference_parameters(self) -> list[nn.Parameter]:
        """The parameters of q(z|x)."""
        return []

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of data `(B, *data_shape)`, `(B,)` in nats."""
        raise NotImplementedError(f"{type(self).__name__} has no log p(x) itself.")

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        """The noise that `sample` needs for each datum, by name.

        Raises:
            ValueError: If the likelihood cannot be sampled.
        """
        raise NotImplementedError

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Data `(B, *data_shape)` from noise `(1, B, *event)`."""
        raise NotImplementedError
