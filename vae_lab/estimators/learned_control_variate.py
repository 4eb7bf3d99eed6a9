"""A network as a control variate, and how it learns to make a gradient's variance small."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from vae_lab.numerics.precision import for_network, single


class LearnedControlVariate(nn.Module):
    """A network of a datum and a latent vector side by side.

    References:
        Backpropagation through the Void (Grathwohl et al., 2018), section 3.

    Args:
        network: Makes the network from `in_shape` and `out_shape`.
    """

    def __init__(self, network: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.make = network
        self.network: nn.Module | None = None

    def prepare(self, data_shape: Sequence[int], latent_dim: int) -> None:
        """Makes the network for data of a shape and latent vectors of a size."""
        self.network = self.make(in_shape=(math.prod(data_shape) + latent_dim,), out_shape=(1,))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """c(x, z) of shape `(K, B)`, for `x` of shape `(B, *data_shape)` and `z` of shape `(K, B, D)`."""
        assert self.network is not None
        data = x.flatten(1).expand(len(z), -1, -1)
        both = torch.cat([data, for_network(z, self.network)], dim=-1)
        outputs: Tensor = single(self.network(both.flatten(0, 1)))
        return outputs.view(z.shape[:2])


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
