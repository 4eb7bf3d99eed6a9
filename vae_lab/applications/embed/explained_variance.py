"""How much of the data their reconstructions keep."""

import math

import torch
from torch import Tensor


class ExplainedVariance:
    r"""The share of the variance of data that reconstructions explain, from one batch after another.

    $$R^2 = 1 - \frac{\sum_n |x_n - \hat x_n|^2}{\sum_n |x_n - \bar x|^2}$$

    It is 1 where every datum comes back, 0 where the mean of all data would do as well, and negative where
    that would do better.

    Example:
        >>> explained = ExplainedVariance()
        >>> explained.add(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]]))
        >>> explained.value
        0.5
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.total = 0.0  # squared distances from the mean
        self.residual = 0.0

    def add(self, x: Tensor, reconstructed: Tensor) -> None:
        """Counts some data and their reconstructions, both `(B, *data_shape)`."""
        values = x.double().flatten(1)
        self.residual += float((values - reconstructed.double().flatten(1)).square().sum())
        mean, count = values.mean(0), self.count + len(x)
        apart = torch.as_tensor(mean - self.mean).square().sum()
        self.total += float((values - mean).square().sum() + apart * self.count * len(x) / count)
        self.mean = self.mean + (mean - self.mean) * len(x) / count
        self.count = count

    @property
    def value(self) -> float:
        """The share; nan where the data do not vary."""
        return 1 - self.residual / self.total if self.total > 0 else math.nan
