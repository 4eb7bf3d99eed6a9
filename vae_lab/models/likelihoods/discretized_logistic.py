"""Pixels with a number of grey levels, by the bins of a logistic distribution."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.noise import BaseDistribution


@dataclass(frozen=True)
class DiscretizedLogisticPixels:
    """Independent pixels on the values k / (levels - 1): `location` and `log_scale` `(K, B, *data_shape)`."""

    location: Tensor
    log_scale: Tensor
    levels: int

    @property
    def mean(self) -> Tensor:
        """E[x|z] as the sum over the bins' upper ends of the probability to lie above them."""
        ends = (torch.arange(self.levels - 1).to(self.location) + 0.5) / (self.levels - 1)
        above = [torch.sigmoid((self.location - end) * (-self.log_scale).exp()) for end in ends]
        return torch.stack(above).sum(0) / (self.levels - 1)

    @property
    def mode(self) -> Tensor:
        """The level nearest to the location, unless more lies beyond the first or the last one."""
        nearest = (self.location * (self.levels - 1)).round() / (self.levels - 1)
        candidates = torch.stack([nearest, torch.zeros_like(nearest), torch.ones_like(nearest)])
        likeliest = torch.stack([self.log_prob_per_pixel(x) for x in candidates]).argmax(0)
        return candidates.gather(0, likeliest.unsqueeze(0))[0]

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        half, scale = 0.5 / (self.levels - 1), (-self.log_scale).exp()
        upper = (x + half - self.location) * scale
        width = (2 * half * scale).expand_as(upper)
        # log(sigmoid(u) - sigmoid(u - w)) = log sigmoid(u) + log sigmoid(w - u) + log(1 - exp(-w))
        inside = F.logsigmoid(upper) + F.logsigmoid(width - upper) + self._log_mass(width)
        nats = torch.where(x <= half, F.logsigmoid(upper), inside)
        return torch.where(x >= 1 - half, F.logsigmoid(width - upper), nats)

    def _log_mass(self, width: Tensor) -> Tensor:
        """log(1 - exp(-w)), also where w is too small to be a number of its precision."""
        narrow = width < torch.finfo(width.dtype).eps
        exact = torch.log(-torch.expm1(-torch.where(narrow, 1.0, width)))
        return torch.where(narrow, -math.log(self.levels - 1) - self.log_scale, exact)

    def sample(self, eps: Tensor) -> Tensor:
        drawn = self.location + self.log_scale.exp() * torch.logit(eps.clamp(1e-7, 1 - 1e-7))
        return (drawn * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)


class DiscretizedLogistic(Likelihood):
    r"""The probability of a grey level is that of its bin under a logistic distribution.

    $$p(x_i|z) = \sigma((x_i + h - \mu_i) / s_i) - \sigma((x_i - h - \mu_i) / s_i),
    \quad h = \frac{1}{2 (L - 1)}$$

    for `L` levels, the first and the last bin reaching to infinity; the decoder gives the location, through
    a sigmoid, and the logarithm of the scale.

    References:
        Improving variational inference with inverse autoregressive flow (Kingma et al., 2016), appendix D.

    Args:
        levels: `L`, at least 2; 256 for images of bytes.

    Raises:
        ValueError: If `levels` is below 2.

    Example:
        >>> x = (torch.arange(4.0) / 3).reshape(4, 1, 1, 1)
        >>> log_p = DiscretizedLogistic(levels=4)(torch.zeros(1, 4, 2, 1, 1)).log_prob(x)
        >>> round(log_p.exp().sum().item(), 5)
        1.0
    """

    num_outputs: int = 2
    base_distribution: BaseDistribution = "uniform"
    support: Support = "unit_interval"
    learns_scale = True
    levels: int

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels must be at least 2, got {levels}.")
        self.levels: int = levels
        self.first_log_scale = -math.log(10)  # a tenth of the range, where the decoder gives 0

    def forward(self, outputs: Tensor) -> DiscretizedLogisticPixels:
        location, log_scale = outputs.chunk(2, dim=2)
        return DiscretizedLogisticPixels(location.sigmoid(), log_scale + self.first_log_scale, self.levels)
