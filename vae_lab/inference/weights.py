"""Whether importance weights can be trusted."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.numerics.percent import percent

UNRELIABLE = 0.7  # a shape above which the mean of the weights converges too slowly to be estimated
MIN_EFFECTIVE_SAMPLES = (
    10  # effective samples, below which the log of the mean is too low by about 1 / (2 * 10) nats or more
)
DOMINATED_BELOW = 3  # effective samples, below which one or two weights rule the sum, by chance never
MAX_DOMINATED_SHARE = 0.01  # share of the data with so few: their log-likelihoods may be too low by many nats
PRIOR_WEIGHT, PRIOR_SHAPE = 10, 0.5  # so many weights' worth of belief in this shape
MIN_TAIL = 5  # weights above the cutoff, to which a shape can be fitted
LIGHT_SHARE = 0.1  # share of the sum that fewer of them may hold: by as many nats it may be off
TINY = 1e-300


class Trust(NamedTuple):
    """How far the importance weights of each of `B` data can be trusted.

    Args:
        pareto_shape: `(B,)`.
        effective_sample_size: `(B,)`.
        num_samples: `K`.

    Example:
        >>> trust = Trust(torch.tensor([0.2, 5.0]), torch.tensor([80.0, 1.5]), num_samples=100)
        >>> trust.in_doubt.tolist()
        [False, True]
    """

    pareto_shape: Tensor
    effective_sample_size: Tensor
    num_samples: int

    @classmethod
    def of(cls, log_weight: Tensor) -> "Trust":
        """That of weights `(K, B)`."""
        return cls(pareto_shape(log_weight), effective_sample_size(log_weight), len(log_weight))

    @property
    def in_doubt(self) -> Tensor:
        """Whose weights cannot be trusted, `(B,)`."""
        return (self.pareto_shape > UNRELIABLE) | ~(self.effective_sample_size >= fewest(self.num_samples))

    @property
    def share_in_doubt(self) -> float:
        """The share of the data whose weights cannot be trusted."""
        return self.in_doubt.double().mean().item()

    @property
    def is_doubtful(self) -> bool:
        """Whether that is too many, or those are whose sum one or two weights rule."""
        least = min(DOMINATED_BELOW, fewest(self.num_samples) / 2)
        ruled = (self.effective_sample_size < least).double().mean().item()
        return self.share_in_doubt > tolerated(self.num_samples) or ruled > MAX_DOMINATED_SHARE

    def notes(self, consequence: str) -> list[str]:
        """One sentence if the weights of too many data cannot be trusted; what follows comes last."""
        size = self.effective_sample_size.double().mean().item()
        sentence = doubts(self.share_in_doubt, size, self.num_samples, consequence)
        return [sentence] if self.is_doubtful else []


def fewest(num_samples: int) -> float:
    """The effective sample size below which the weights of `num_samples` samples cannot be trusted."""
    return min(MIN_EFFECTIVE_SAMPLES, num_samples / 2)


def tolerated(num_samples: int) -> float:
    """The share of the data that may be in doubt: of few samples, good weights look bad at times."""
    return 0.05 if num_samples >= 1000 else 0.1


def doubts(share: float, size: float, num_samples: int, consequence: str) -> str:
    """One sentence on the share of the data whose weights cannot be trusted.

    Args:
        share: Of the data.
        size: The mean effective sample size.
        num_samples: `K`.
        consequence: What follows for these data.
    """
    return (
        f"the importance weights of {percent(share)} of the data cannot be trusted (a Pareto shape above "
        f"{UNRELIABLE} or an effective sample size below {fewest(num_samples):g}; its mean is "
        f"{_plain(size)} of {num_samples:,}): {consequence}"
    )


def _plain(size: float) -> str:
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


def join_trust(parts: list[Trust]) -> Trust:
    """That of all data, from those of some after another."""
    shapes, sizes, numbers = zip(*parts, strict=True)
    return Trust(torch.cat(shapes), torch.cat(sizes), numbers[0])


def effective_sample_size(log_weight: Tensor) -> Tensor:
    r"""The number of equally weighted samples that tell as much, from 1 to `K`.

    $$\mathrm{ESS} = \left( \sum_k w_k \right)^2 / \sum_k w_k^2$$

    References:
        Sequential imputations and Bayesian missing data problems (Kong, Liu & Wong, 1994), section 4.1.

    Args:
        log_weight: `(K, B)`.

    Returns:
        `(B,)`.

    Example:
        >>> effective_sample_size(torch.zeros(10, 1)).item()
        10.0
    """
    return (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()


def monte_carlo_variance(log_weight: Tensor) -> Tensor:
    r"""The variance over the samples of $\log \frac1K \sum_k w_k$, by the jackknife, `(B,)`.

    $$\frac{K - 1}{K} \sum_k (L_{-k} - \bar L)^2, \quad L_{-k} = \log \frac{1}{K - 1} \sum_{j \ne k} w_j$$

    The delta method is bounded by 1 nat² and falls short of the truth where few weights rule.

    References:
        Bootstrap methods: another look at the jackknife (Efron, 1979), section 3.

    Args:
        log_weight: `(K, B)`, with `K` at least 2; with one sample nothing is known, and it is nan.
    """
    if len(log_weight) == 1:
        return log_weight.new_full(log_weight.shape[1:], math.nan)
    return _jackknife(_left_out(log_weight))


def gap_variance(log_weight: Tensor) -> Tensor:
    r"""The same of $\log \frac1K \sum_k w_k - \frac1K \sum_k \log w_k$, whose parts share their samples."""
    if len(log_weight) == 1:
        return log_weight.new_full(log_weight.shape[1:], math.nan)
    return _jackknife(_left_out(log_weight) + log_weight / (len(log_weight) - 1))


def _left_out(log_weight: Tensor) -> Tensor:
    """The log of the sum of all weights but one, less that of all, `(K, B)`."""
    total, largest = log_weight.logsumexp(0), log_weight.argmax(0, keepdim=True)
    others = log_weight.scatter(0, largest, -math.inf).logsumexp(0) - total  # 1 - w would round to 0
    return torch.log1p(-(log_weight - total).exp()).scatter(0, largest, others.unsqueeze(0))


def _jackknife(left_out: Tensor) -> Tensor:
    return left_out.var(0) * (len(left_out) - 1) ** 2 / len(left_out)


def pareto_shape(log_weight: Tensor) -> Tensor:
    r"""The shape $\hat k$ of a generalised Pareto distribution fitted to the largest weights of each datum.

    Weights have $1/k$ finite moments. Above 0.7 their mean, and with it the log-likelihood, cannot be
    trusted.

    References:
        Pareto smoothed importance sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024), sections 2 and 3;
        A new and efficient estimation method for the generalized Pareto distribution (Zhang & Stephens,
        2009).

    Args:
        log_weight: `(K, B)`, with `K` at least 25.

    Returns:
        `(B,)` in float64; nan with fewer samples; inf where at most 4 of them are above the cutoff, the least
        number that float64 holds included; but -inf where these hold less than a tenth of the sum, as where
        the largest weights are alike: those of discrete latent variables tie.
    """
    tail_size = min(len(log_weight) // 5, math.ceil(3 * math.sqrt(len(log_weight))))
    if tail_size < MIN_TAIL:
        return torch.full_like(log_weight[0], math.nan, dtype=torch.float64)
    scaled = log_weight.double() - log_weight.double().amax(0)
    largest = scaled.topk(tail_size + 1, dim=0).values.flip(0)
    cutoff = largest[0].clamp(min=math.log(torch.finfo(torch.float64).tiny))
    counts = (largest > cutoff).sum(0)
    exceedances = largest.exp() - cutoff.exp()
    shapes = torch.full_like(cutoff, math.inf)
    for count in counts[counts >= MIN_TAIL].unique().tolist():
        chosen = counts == count
        shapes[chosen] = _fitted_shape(exceedances[-count:, chosen])
    above = torch.where(largest > cutoff, largest.exp(), 0).sum(0)
    light = (counts < MIN_TAIL) & (above < LIGHT_SHARE * scaled.exp().sum(0))
    return torch.where(light | (exceedances[-1] <= 1e-10), -math.inf, shapes)


def _fitted_shape(exceedances: Tensor) -> Tensor:
    """The shape by Zhang & Stephens' quasi-Bayesian estimate, from `(M, B)` in ascending order."""
    tail_size = len(exceedances)
    candidates = 30 + math.isqrt(tail_size)
    places = torch.arange(1, candidates + 1, dtype=exceedances.dtype, device=exceedances.device)
    quartile = exceedances[int(tail_size / 4 + 0.5) - 1].clamp(min=TINY)
    theta = 1 / exceedances[-1] + (1 - (candidates / (places[:, None] - 0.5)).sqrt()) / (3 * quartile)
    shape = torch.stack([torch.log1p(-each * exceedances).mean(0) for each in theta])
    log_profile = tail_size * ((-theta / shape).log() - shape - 1)
    mean = (log_profile.softmax(0) * theta).sum(0)
    fitted = torch.log1p(-mean * exceedances).mean(0)
    return (tail_size * fitted + PRIOR_WEIGHT * PRIOR_SHAPE) / (tail_size + PRIOR_WEIGHT)
