"""The same variational parameters for every datum."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Constant(nn.Module):
    r"""Learned numbers that do not depend on the input: q(z|x) = q(z).

    For a latent variable that all data share, such as the weights of a regression, and for variational
    parameters that are to begin at given values.

    Args:
        in_shape: Not used.
        out_shape: Shape of the outputs.
        initial: Where they begin: equal parts of the outputs, in order, each at its value; [1, 0] is mean 1
            and log-variance 0 of a Gaussian posterior.

    Raises:
        ValueError: If the outputs have no so many equal parts.

    Example:
        >>> Constant((8,), (4,), initial=[1.0, 0.0])(torch.zeros(2, 8)).tolist()
        [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], initial: Sequence[float] = (0.0,)
    ) -> None:
        super().__init__()
        size, parts = math.prod(out_shape), len(initial)
        if parts == 0 or size % parts:
            raise ValueError(
                f"initial must hold one value for each of equal parts of {size} outputs, got {list(initial)}."
            )
        values = torch.tensor(initial, dtype=torch.get_default_dtype()).repeat_interleave(size // parts)
        self.values = nn.Parameter(values.reshape(*out_shape))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.values.expand(len(inputs), *self.values.shape)
