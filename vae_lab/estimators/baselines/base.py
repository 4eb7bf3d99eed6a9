"""The base of parts of a baseline, and the running average that some of them keep."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vae_lab.estimators.base import Needs


class Baseline(nn.Module):
    """A part of a baseline: it takes a learning signal `(K, B, S)` and gives it back centred.

    `S` is 1, or `D` for one signal per latent dimension. What is subtracted from a sample's signal must not
    depend on that sample. If the result has a graph, its mean square is what the part's parameters are
    trained to make small, by the run's optimizer.

    Attributes:
        least_samples: The fewest samples per datum that it works with.
        bias: Why the gradient is biased by it, or None.
        requires: What it adds to the needs of an estimator.
        rescales: Whether it changes the length of the signal.
    """

    least_samples: int = 1
    bias: str | None = None
    requires: frozenset[Needs] = frozenset()
    rescales: bool = False

    def prepare(self, data_shape: Sequence[int]) -> None:
        """Makes what depends on the shape of the data."""

    def forward(self, signal: Tensor, x: Tensor) -> Tensor:
        """The centred signal, for the data `x` of shape `(B, *data_shape)`."""
        raise NotImplementedError

    def statistics(self, signal: Tensor) -> dict[str, Tensor]:
        """Statistics of this signal for `update`, each of shape `(B,)`."""
        return {}

    def update(self, means: Mapping[str, Tensor]) -> None:
        """Takes in the means of the statistics over the global batch, after the step."""


class RunningAverage(nn.Module):
    r"""An exponential average without the pull of its start: $\sum_i d^{t-i} v_i / \sum_i d^{t-i}$.

    Args:
        decay: `d`, at least 0 and below 1.

    Raises:
        ValueError: If `decay` is out of its range.

    Example:
        >>> average = RunningAverage(decay=0.9)
        >>> average.add(torch.tensor(3.0))
        >>> round(average.value.item(), 5)
        3.0
    """

    total: Tensor
    weight: Tensor

    def __init__(self, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}.")
        self.decay = decay
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("weight", torch.zeros(()))

    @property
    def value(self) -> Tensor:
        """The average, or 0 before the first value."""
        return self.total / self.weight.clamp_min(torch.finfo(self.weight.dtype).tiny)

    def add(self, value: Tensor) -> None:
        """Takes in a scalar."""
        self.total.mul_(self.decay).add_((1 - self.decay) * value)
        self.weight.mul_(self.decay).add_(1 - self.decay)
