"""Posteriors over several layers of latent variables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.networks.between_layers import check_layers, over_last
from vae_lab.models.networks.fixed import fixed
from vae_lab.models.posteriors.gaussian import DiagonalGaussian
from vae_lab.noise import BaseDistribution

Transition = Callable[[Tensor], DiagonalGaussian]


@dataclass(frozen=True)
class HierarchicalConditional:
    """q(z_1|x) and, for each further layer, q(z_l|z_{l-1}); a latent vector holds all layers side by side.

    Args:
        first: q(z_1|x), with parameters `(B, D_1)`.
        transitions: From `z_{l-1}` of shape `(..., D_{l-1})` to q(z_l|z_{l-1}).
        detached: The same with their parameters cut from the graph.
        layer_dims: `D_1 ... D_L`.
    """

    first: DiagonalGaussian
    transitions: Sequence[Transition]
    detached: Sequence[Transition]
    layer_dims: Sequence[int]

    @property
    def mean(self) -> Tensor:
        """The mean of each layer given that of the layer before, `(B, D)`."""
        layers = [self.first.mean]
        for transition in self.transitions:
            layers.append(transition(layers[-1]).mean)
        return torch.cat(layers, dim=-1)

    @property
    def std(self) -> None:
        """None, as it has no closed form."""

    def with_parameters(self, *parameters: Tensor) -> "HierarchicalConditional":
        """Refused, as `parameters` are."""
        raise ValueError("a hierarchical posterior has no parameters that make it again.")

    def transform(self, eps: Tensor) -> Tensor:
        first, *others = eps.split(list(self.layer_dims), dim=-1)
        layers = [self.first.transform(first)]
        for transition, noise in zip(self.transitions, others, strict=True):
            layers.append(transition(layers[-1]).transform(noise))
        return torch.cat(layers, dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        first, *others = z.split(list(self.layer_dims), dim=-1)
        log_prob, below = self.first.log_prob(first), first
        for transition, layer in zip(self.transitions, others, strict=True):
            log_prob = log_prob + transition(below).log_prob(layer)
            below = layer
        return log_prob

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """The terms of `log_prob`, each given the layer before, `(K, B, D)`."""
        first, *others = z.split(list(self.layer_dims), dim=-1)
        terms, below = [self.first.log_prob_per_dimension(first)], first
        for transition, layer in zip(self.transitions, others, strict=True):
            terms.append(transition(below).log_prob_per_dimension(layer))
            below = layer
        return torch.cat(terms, dim=-1)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """Refused: the parameters of the further layers depend on the sample."""
        raise ValueError("a hierarchical posterior has no parameters that make it again.")

    def entropy(self) -> Tensor:
        """Refused, as it has no closed form."""
        raise ValueError("kl=entropy has no closed form for a hierarchical posterior; use kl=sampled.")

    def kl(self, prior: Prior) -> Tensor:
        """Refused, as it has no closed form."""
        raise ValueError("kl=analytic has no closed form for a hierarchical posterior; use kl=sampled.")

    def detach(self) -> "HierarchicalConditional":
        return HierarchicalConditional(self.first.detach(), self.detached, self.detached, self.layer_dims)


class Hierarchical(Posterior):
    r"""A Gaussian for each layer of latent variables, given the layer before it.

    $$q(z|x) = q(z_1|x) \prod_{l=2}^L q(z_l|z_{l-1})$$

    The encoder gives the first; networks of the posterior's own the others.

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 2, equation 3.

    Args:
        latent_dim: `D`, all layers together.
        layer_dims: `D_1 ... D_L`, from the data upwards, at least two.
        network: Makes the network of a layer from `in_shape` and `out_shape`.

    Raises:
        ValueError: If the layers are fewer than two, one is empty, or they do not add up to `latent_dim`.
    """

    base_distribution: BaseDistribution = "normal"
    factorises = False
    has_entropy = False
    has_mean = False

    def __init__(self, latent_dim: int, layer_dims: Sequence[int], network: Callable[..., nn.Module]) -> None:
        super().__init__()
        check_layers(latent_dim, layer_dims)
        self.latent_dim = latent_dim
        self.layer_dims = list(layer_dims)
        self.outputs = {"mean": layer_dims[0], "log_variance": layer_dims[0]}
        self.networks = nn.ModuleList(
            network(in_shape=(below,), out_shape=(2 * above,)) for below, above in pairwise(layer_dims)
        )

    def forward(self, outputs: Tensor) -> HierarchicalConditional:
        return HierarchicalConditional(
            _gaussian(outputs),
            [_transition(network) for network in self.networks],
            [_transition(partial(fixed, network)) for network in self.networks],
            self.layer_dims,
        )


def _transition(network: Callable[[Tensor], Tensor]) -> Transition:
    return lambda below: _gaussian(over_last(network, below))


def _gaussian(outputs: Tensor) -> DiagonalGaussian:
    """The Gaussian whose mean and log-variance stand side by side in the last dimension."""
    mean, log_variance = outputs.chunk(2, dim=-1)
    return DiagonalGaussian(mean, 0.5 * log_variance)
