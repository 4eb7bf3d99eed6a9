"""Whether importance weights can be trusted."""

import math

import torch
from torch import Tensor

UNRELIABLE = 0.7  # a shape above which the mean of the weights converges too slowly to be estimated
PRIOR_WEIGHT, PRIOR_SHAPE = 10, 0.5  # so many weights' worth of belief in this shape


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
    r"""The variance over the samples of $\log \frac1K \sum_k w_k$, by the delta method, `(B,)`.

    $$\frac{s^2(w)}{K \bar w^2} = \frac{K / \mathrm{ESS} - 1}{K - 1}$$

    Args:
        log_weight: `(K, B)`, with `K` at least 2; with one sample nothing is known, and it is nan.
    """
    if len(log_weight) == 1:
        return log_weight.new_full(log_weight.shape[1:], math.nan)
    return (len(log_weight) / effective_sample_size(log_weight) - 1).clamp(min=0) / (len(log_weight) - 1)


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
        `(B,)`; nan with fewer samples, -inf where the largest weights are all alike.
    """
    number = min(len(log_weight) // 5, math.ceil(3 * math.sqrt(len(log_weight))))
    if number < 5:
        return log_weight.new_full(log_weight.shape[1:], math.nan)
    largest = (log_weight - log_weight.amax(0)).topk(number + 1, dim=0).values.flip(0).exp()
    exceedances = largest[1:] - largest[0]
    alike = exceedances[-1] <= 1e-10
    shape = _fitted_shape(torch.where(alike, torch.ones_like(exceedances), exceedances))
    shape = (number * shape + PRIOR_WEIGHT * PRIOR_SHAPE) / (number + PRIOR_WEIGHT)
    return torch.where(alike, -math.inf, shape)


def _fitted_shape(exceedances: Tensor) -> Tensor:
    """The shape by Zhang & Stephens' quasi-Bayesian estimate, from `(M, B)` in ascending order."""
    number = len(exceedances)
    candidates = 30 + math.isqrt(number)
    places = torch.arange(1, candidates + 1, dtype=exceedances.dtype, device=exceedances.device)
    quartile = exceedances[int(number / 4 + 0.5) - 1].clamp(min=1e-30)
    theta = 1 / exceedances[-1] + (1 - (candidates / (places[:, None] - 0.5)).sqrt()) / (3 * quartile)
    shape = torch.stack([torch.log1p(-each * exceedances).mean(0) for each in theta])
    log_profile = number * ((-theta / shape).log() - shape - 1)
    mean = (log_profile.softmax(0) * theta).sum(0)
    return torch.log1p(-mean * exceedances).mean(0)
