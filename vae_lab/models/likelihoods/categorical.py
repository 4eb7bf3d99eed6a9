"""Pixels with a number of grey levels, each with a probability of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.noise import BaseDistribution
from vae_lab.numerics.precision import without_autocast


@dataclass(frozen=True)
class CategoricalPixels:
    """Independent pixels on the values k / (levels - 1), with `log_p` `(K, B, levels, *data_shape)`."""

    log_p: Tensor

    @property
    def mean(self) -> Tensor:
        levels = self.log_p.shape[2]
        values = torch.linspace(0, 1, levels).to(self.log_p)
        with without_autocast(values):
            return torch.tensordot(self.log_p.exp(), values, dims=([2], [0]))

    @property
    def mode(self) -> Tensor:
        return self.log_p.argmax(2).to(self.log_p.dtype) / (self.log_p.shape[2] - 1)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        level = (x * (self.log_p.shape[2] - 1)).round().long().unsqueeze(1)
        index = level.expand(len(self.log_p), *level.shape)
        log_p = self.log_p.expand(-1, len(x), *self.log_p.shape[2:])
        return log_p.gather(2, index).squeeze(2)

    def sample(self, eps: Tensor) -> Tensor:
        levels = self.log_p.shape[2]
        below = (self.log_p.exp().cumsum(2) <= eps.unsqueeze(2)).sum(2)
        return below.clamp(max=levels - 1).to(eps) / (levels - 1)


class Categorical(Likelihood):
    r"""$\log p(x|z) = \sum_i \log \pi_{i, x_i}(z)$, the decoder giving logits for each grey level.

    References:
        Pixel recurrent neural networks (van den Oord et al., 2016), section 2.2.

    Args:
        levels: At least 2; 256 for images of bytes.

    Raises:
        ValueError: If `levels` is below 2.

    Example:
        >>> pixels = Categorical(levels=4)(torch.zeros(1, 1, 4, 2, 2))
        >>> round(pixels.log_prob(torch.ones(1, 1, 2, 2)).exp().item() * 4**4, 5)
        1.0
    """

    base_distribution: BaseDistribution = "uniform"
    support: Support = "unit_interval"

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels must be at least 2, got {levels}.")
        self.levels = levels
        self.num_outputs = levels

    def forward(self, outputs: Tensor) -> CategoricalPixels:
        return CategoricalPixels(outputs.unflatten(2, (self.num_outputs, -1)).log_softmax(2))
