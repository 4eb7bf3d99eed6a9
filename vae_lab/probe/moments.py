"""Running moments in float64: memory does not grow with the number of observations."""

import torch
from torch import Tensor


class Moments:
    r"""Mean and sum of squared deviations of tensors, taken in chunk by chunk.

    $$M \leftarrow M + M_c + (\bar x_c - \bar x)^2 \frac{n\, n_c}{n + n_c}$$

    References:
        Updating formulae and a pairwise algorithm for computing sample variances (Chan, Golub & LeVeque,
        1979), equation 2.1; for a chunk of one, Welford (1962).

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([1.0, 2.0]))
        >>> moments.add(torch.tensor([6.0]))
        >>> moments.mean.item(), moments.variance.item()
        (3.0, 7.0)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.zeros((), dtype=torch.float64)
        self.deviations = torch.zeros((), dtype=torch.float64)

    def add(self, chunk: Tensor) -> None:
        """Takes in observations along the first dimension."""
        values = chunk.double()
        mean = values.mean(0)
        self.merge(mean, (values - mean).square().sum(0), len(chunk))

    def merge(self, mean: Tensor, deviations: Tensor, count: int) -> None:
        """Takes in a chunk of which mean, squared deviations and size are known."""
        step, total = mean.double() - self.mean.to(mean.device), self.count + count
        self.deviations = self.deviations.to(mean.device) + deviations.double()
        self.deviations = self.deviations + step.square() * (self.count * count / total)
        self.mean = self.mean.to(mean.device) + step * (count / total)
        self.count = total

    @property
    def variance(self) -> Tensor:
        """The unbiased variance of one observation."""
        return self.deviations / (self.count - 1)
