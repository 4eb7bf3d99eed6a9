"""The encoder of a model that is trained without one."""

from collections.abc import Sequence

from torch import Tensor, nn


class NoEncoder(nn.Module):
    """No q(z|x), for an estimator that draws from the posterior itself.

    Args:
        in_shape: Not used.
        out_shape: Not used.

    Raises:
        ValueError: On a call.
    """

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("model.encoder: q(z|x) is needed, and model/encoder=none has none; choose another.")
