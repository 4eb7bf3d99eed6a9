"""Parameters of each datum instead of a network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PerDatum(nn.Module):
    r"""A table with a row of variational parameters for each datum: inference that is not amortised.

    Called with the numbers of data in the training part. A datum that it has no row for, such as one of the
    test part, must have its parameters fitted to it (`vae_lab.evaluation.FitPosterior`).

    References:
        Stochastic variational inference (Hoffman et al., 2013), whose local parameters these are.

    Args:
        in_shape: `(N,)`, how many data there are.
        out_shape: Shape of one datum's parameters.
        init_std: Standard deviation of the normal from which every number is drawn; 0 begins, for a Gaussian
            posterior, at the standard normal.

    Raises:
        ValueError: If `init_std` is negative.

    Example:
        >>> PerDatum((100,), (4,))(torch.tensor([7, 3, 99])).shape
        torch.Size([3, 4])
    """

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int], init_std: float = 0.01) -> None:
        super().__init__()
        if not init_std >= 0:
            raise ValueError(f"init_std must not be negative, got {init_std}.")
        self.rows = nn.Parameter(init_std * torch.randn(*in_shape, *out_shape))

    def forward(self, indices: Tensor) -> Tensor:
        return self.rows[indices]
