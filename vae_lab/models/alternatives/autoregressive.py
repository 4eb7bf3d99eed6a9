"""Autoregressive models: the chain rule over pixels."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from vae_lab.models.alternatives.base import DensityModel
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.networks.causal import CausalNetwork
from vae_lab.noise import NoiseSpec


class Autoregressive(DensityModel):
    r"""$\log p(x) = \sum_i \log p(x_i | x_1, \dots, x_{i-1})$, one network giving all conditionals.

    The likelihood is exact and as fast as one pass of the network; sampling takes a pass for each pixel.

    References:
        The Neural Autoregressive Distribution Estimator (Larochelle & Murray, 2011), equation 1.

    Args:
        data_shape: Shape of one datum.
        network: From data to what the likelihood needs of each pixel, each depending on earlier pixels alone.
        likelihood: Family of the conditionals.
    """

    likelihood: Likelihood

    def __init__(self, data_shape: Sequence[int], network: CausalNetwork, likelihood: Likelihood) -> None:
        super().__init__(data_shape)
        self.network = network
        self.describe_by(likelihood)

    @property
    def num_parameters(self) -> int:
        return self.network.num_parameters

    def log_prob(self, x: Tensor) -> Tensor:
        return self.likelihood(self.network(x).unsqueeze(0)).log_prob(x)[0]

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {"pixels": self.likelihood.sample_spec(data_shape)}

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        return self.network.sample(self.likelihood, noise["pixels"][0])
