"""Independent pixels."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.alternatives.pixels import check_pixels, fitted_outputs
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.noise import NoiseSource, NoiseSpec


class IndependentPixels(DirectlyFitted):
    r"""$\log p(x) = \sum_i \log p(x_i)$, each pixel with parameters of its own, in closed form.

    Args:
        data_shape: Shape of one datum.
        likelihood: `Bernoulli` or `Gaussian`.
        smoothing: For Bernoulli, how many data with the pixel on, and as many with it off, are added, above
            0: a pixel that no training datum has would else make a test datum impossible.

    Raises:
        ValueError: If the family has no closed form, or `smoothing` is not above 0.
    """

    likelihood: Likelihood
    outputs: Tensor

    def __init__(self, data_shape: Sequence[int], likelihood: Likelihood, smoothing: float = 0.1) -> None:
        super().__init__(data_shape)
        check_pixels(likelihood)
        if not smoothing > 0:
            raise ValueError(f"smoothing must be above 0, got {smoothing}.")
        self.describe_by(likelihood)
        self.smoothing = smoothing
        channels = likelihood.num_outputs * data_shape[0]
        self.register_buffer("outputs", torch.zeros(1, 1, channels, *data_shape[1:]))

    @property
    def num_parameters(self) -> int:
        return self.outputs.numel()

    def fit(self, x: Tensor, noise: NoiseSource) -> Iterator[dict[str, float]]:
        weights = torch.ones(1, len(x), dtype=torch.float64)
        self.outputs = fitted_outputs(self.likelihood, x.double(), weights, self.smoothing).to(x.dtype)
        yield {"log_likelihood": self.log_prob(x).double().mean().item()}

    def log_prob(self, x: Tensor) -> Tensor:
        return self.likelihood(self.outputs).log_prob(x)[0]

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {"pixels": self.likelihood.sample_spec(data_shape)}

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        return self.likelihood(self.outputs).sample(noise["pixels"])[0]
