"""The network that adds a learned vector."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Shift(nn.Module):
    r"""$x \mapsto x + b$, `b` beginning at 0.

    As a decoder with unit noise it makes the model N(z + b, I) with z from N(0, I), whose posterior is
    N((x - b) / 2, I / 2).

    Args:
        in_shape: Shape of one input.
        out_shape: Shape of one output, of as many numbers.

    Raises:
        ValueError: If the sizes differ.

    Example:
        >>> Shift((4,), (2, 2))(torch.ones(3, 4)).shape
        torch.Size([3, 2, 2])
    """

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> None:
        super().__init__()
        if math.prod(in_shape) != math.prod(out_shape):
            raise ValueError(
                f"needs as many outputs as inputs, got {math.prod(out_shape)} and {math.prod(in_shape)}; use "
                f"model.latent_dim={math.prod(out_shape)} or model/decoder=mlp."
            )
        self.out_shape = tuple(out_shape)
        self.bias = nn.Parameter(torch.zeros(math.prod(out_shape)))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs.flatten(1) + self.bias).unflatten(1, self.out_shape)
