"""Models with a density p(x) of their own, which a VAE replaces."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from vae_lab.models.generative import GenerativeModel, LogLikelihood
from vae_lab.noise import NoiseSource


class DensityModel(GenerativeModel):
    """A model p(x) whose log-likelihood needs no q(z|x).

    Attributes:
        data_shape: Shape of one datum.
    """

    data_shape: tuple[int, ...]
    log_likelihood: LogLikelihood | None = "exact"

    def __init__(self, data_shape: Sequence[int]) -> None:
        super().__init__()
        self.data_shape = tuple(data_shape)


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
