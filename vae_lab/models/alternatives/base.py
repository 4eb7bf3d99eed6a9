"""Base classes of the models that a VAE replaces."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from vae_lab.models.likelihoods.support import Support
from vae_lab.noise import NoiseSource, NoiseSpec

LogLikelihood = Literal["exact", "predictive"]


class DensityModel(nn.Module):
    """A model p(x) whose log-likelihood needs no q(z|x).

    Attributes:
        data_shape: Shape of one datum.
        support: Where the data must lie.
        levels: How many values a pixel takes if p(x) is a probability; None if it is a density.
        log_likelihood: What `log_prob` is: `exact` for the fitted parameters, or the `predictive` density of
            an approximate posterior over them.
    """

    data_shape: tuple[int, ...]
    support: Support
    levels: int | None
    log_likelihood: LogLikelihood = "exact"
    has_encoder = is_amortized = is_per_datum = False

    def __init__(self, data_shape: Sequence[int]) -> None:
        super().__init__()
        self.data_shape = tuple(data_shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) of data `(B, *data_shape)`, `(B,)` in nats."""
        raise NotImplementedError

    @property
    def num_parameters(self) -> int:
        """How many free parameters it has."""
        return sum(parameter.numel() for parameter in self.parameters())

    def generative_parameters(self) -> list[nn.Parameter]:
        """All that are trained."""
        return list(self.parameters())

    def inference_parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def sample_spec(self) -> dict[str, NoiseSpec]:
        """The noise that `sample` needs for each datum, by name."""
        raise NotImplementedError

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Data `(B, *data_shape)` from noise `(1, B, *event)`."""
        raise NotImplementedError


class DirectlyFitted(DensityModel):
    """A model with a fit of its own, in closed form or step by step: no estimator, optimizer or trainer.

    What is fitted is kept in buffers.
    """

    def fit(self, x: Tensor, noise: NoiseSource) -> Iterator[dict[str, float]]:
        """Fits the model to data `(N, *data_shape)`; yields what to report after each step.

        Raises:
            ValueError: If the data do not determine it.
        """
        raise NotImplementedError
