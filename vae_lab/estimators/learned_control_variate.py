"""A network as a control variate, and how it learns to make a gradient's variance small."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vae_lab.estimators.baselines.base import RunningAverage
from vae_lab.networks.fixed import fixed


class LearnedControlVariate(nn.Module):
    r"""The running mean of the signal, and a network of a datum and a latent vector side by side added to it.

    The mean is updated after the step and is the same for all samples, so that the network has only to learn
    how the signal varies.

    References:
        Backpropagation through the Void (Grathwohl et al., 2018), section 3.

    Args:
        network: Makes the network from `in_shape` and `out_shape`.
        decay: Weight of the past in the running mean, at least 0 and below 1.

    Raises:
        ValueError: If `decay` is out of its range.
    """

    def __init__(self, network: Callable[..., nn.Module], decay: float) -> None:
        super().__init__()
        self.level = RunningAverage(decay)
        self.make = network
        self.network: nn.Module | None = None

    def prepare(self, data_shape: Sequence[int], latent_dim: int) -> None:
        """Makes the network for data of a shape and latent vectors of a size."""
        self.network = self.make(in_shape=(math.prod(data_shape) + latent_dim,), out_shape=(1,))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """c(x, z) of shape `(K, B)`, for `x` of shape `(B, *data_shape)` and `z` of shape `(K, B, D)`."""
        assert self.network is not None
        return self._added(self.network(_side_by_side(x, z)), z)

    def frozen(self, x: Tensor, z: Tensor) -> Tensor:
        """The same without a graph to the network's parameters."""
        assert self.network is not None
        return self._added(fixed(self.network, _side_by_side(x, z)), z)

    def _added(self, outputs: Tensor, z: Tensor) -> Tensor:
        return self.level.value + outputs.view(z.shape[:2])


def _side_by_side(x: Tensor, z: Tensor) -> Tensor:
    return torch.cat([x.flatten(1).expand(len(z), -1, -1), z], dim=-1).flatten(0, 1)


def squared_gradient(
    surrogate: Callable[[tuple[Tensor, ...]], Tensor], parameters: tuple[Tensor, ...]
) -> Tensor:
    r"""The squared length of each datum's gradient by the parameters of q, `(B,)`.

    Its expectation is the variance of an unbiased gradient, and what no control variate changes; so the
    derivative of a single one by the parameters of a control variate is unbiased for that of the variance.

    References:
        Backpropagation through the Void (Grathwohl et al., 2018), section 3.

    Args:
        surrogate: From the parameters, each `(B, D)`, to a surrogate `(B,)` whose graph reaches the control
            variate's parameters.
        parameters: Where the gradient is taken.
    """
    derivative = torch.func.grad(lambda own: surrogate(own).sum())
    gradients = derivative(tuple(parameter.detach() for parameter in parameters))
    return torch.stack([part.square().sum(-1) for part in gradients]).sum(0)
