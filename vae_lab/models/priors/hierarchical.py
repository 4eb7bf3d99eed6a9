"""Priors over several layers of latent variables."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vae_lab.models.distributions.prior import Prior
from vae_lab.models.networks.between_layers import check_layers, over_last
from vae_lab.noise import NoiseSpec


class Hierarchical(Prior):
    r"""A standard normal at the top and a Gaussian for each layer below, given the layer above it.

    $$p(z) = N(z_L; 0, I) \prod_{l=1}^{L-1} p(z_l|z_{l+1})$$

    The decoder sees the first layer alone. A latent vector holds all layers side by side, the first one
    first.

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 2, equation 1.

    Args:
        latent_dim: `D`, all layers together.
        layer_dims: `D_1 ... D_L`, from the data upwards, at least two.
        network: Makes the network of a layer from `in_shape` and `out_shape`.

    Raises:
        ValueError: If the layers are fewer than two, one is empty, or they do not add up to `latent_dim`.
    """

    has_terms = True

    def __init__(self, latent_dim: int, layer_dims: Sequence[int], network: Callable[..., nn.Module]) -> None:
        super().__init__()
        check_layers(latent_dim, layer_dims)
        self.latent_dim = latent_dim
        self.layer_dims = list(layer_dims)
        self.networks = nn.ModuleList(
            network(in_shape=(above,), out_shape=(2 * below,)) for below, above in pairwise(layer_dims)
        )

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        layers = z.split(self.layer_dims, dim=-1)
        terms = [
            _log_normal(layer, *over_last(network, above).chunk(2, dim=-1))
            for network, layer, above in zip(self.networks, layers, layers[1:], strict=False)
        ]
        top = torch.zeros_like(layers[-1])
        return torch.cat([*terms, _log_normal(layers[-1], top, top)], dim=-1)

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec("normal", num_samples, (self.latent_dim,))

    def sample(self, eps: Tensor) -> Tensor:
        *others, top = eps.split(self.layer_dims, dim=-1)
        layers = [top]
        for network, noise in zip(reversed(self.networks), reversed(others), strict=True):
            mean, log_variance = over_last(network, layers[0]).chunk(2, dim=-1)
            layers.insert(0, mean + (0.5 * log_variance).exp() * noise)
        return torch.cat(layers, dim=-1)


def _log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    squares = (z - mean).square() * (-log_variance).exp()
    return -0.5 * (squares + log_variance + math.log(2 * math.pi))
