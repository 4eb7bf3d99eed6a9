"""The network without parameters."""

import math
from collections.abc import Sequence

from torch import Tensor, nn


class Identity(nn.Module):
    """Its input, in another shape: as a decoder it hands z to the likelihood.

    Args:
        in_shape: Shape of one input.
        out_shape: Shape of one output, of as many numbers.

    Raises:
        ValueError: If the sizes differ.

    Example:
        >>> import torch
        >>> Identity((4,), (2, 2))(torch.ones(3, 4)).shape
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

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1).unflatten(1, self.out_shape)
