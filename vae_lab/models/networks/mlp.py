"""Multilayer perceptrons."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from vae_lab.models.networks.activations import Activation, activation


class MLP(nn.Module):
    """Fully connected layers of the given widths, from any shape to any shape.

    Args:
        in_shape: Shape of one input.
        out_shape: Shape of one output.
        hidden: Widths of the hidden layers, each at least 1; none gives a linear map.
        activation: Nonlinearity after each hidden layer.
        init_std: Standard deviation of the normal from which *every* weight and bias is drawn, or None for
            `init`. Kingma & Welling (2014), section 5, draw from N(0, 0.01).
        init: `torch` is torch's own initialisation, `glorot` the uniform one of Glorot & Bengio (2010),
            equation 16, with biases 0.

    Raises:
        ValueError: If a width is below 1, `init_std` is not above 0, or both say how to begin.

    Example:
        >>> import torch
        >>> MLP((1, 8, 8), (4,), hidden=[16, 16], activation="tanh")(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        hidden: Sequence[int],
        activation: Activation = "relu",
        init_std: float | None = None,
        init: Literal["torch", "glorot"] = "torch",
    ) -> None:
        super().__init__()
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden must hold widths of at least 1, got {list(hidden)}.")
        if init_std is not None and not init_std > 0:
            raise ValueError(f"init_std must be above 0 or null, got {init_std}.")
        if init_std is not None and init != "torch":
            raise ValueError(f"init_std must be null with init={init}, got {init_std}.")
        widths = [math.prod(in_shape), *hidden, math.prod(out_shape)]
        self.layers = nn.Sequential(*_layers(widths, activation))
        self.out_shape = tuple(out_shape)
        if init_std is not None:
            for parameter in self.parameters():
                nn.init.normal_(parameter, std=init_std)
        if init == "glorot":
            for parameter in self.parameters():
                nn.init.xavier_uniform_(parameter) if parameter.dim() > 1 else nn.init.zeros_(parameter)

    @torch.no_grad()
    def start_at(self, outputs: Tensor) -> None:
        """Sets the last biases so that the outputs begin around these, of `out_shape`."""
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.copy_(outputs.flatten())

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs.flatten(1)).unflatten(1, self.out_shape)


def _layers(widths: Sequence[int], name: Activation) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), activation(name)]
    return layers[:-1]
