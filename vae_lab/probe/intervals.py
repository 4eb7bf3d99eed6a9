"""95 % intervals of variances, from what each replicate or datum adds to them."""

import math

import numpy as np

from vae_lab.numerics.intervals import degrees_of_freedom, student_t_quantile

MIN_REPLICATES = 8
MIN_DRAWS = 100  # replicates times data
MIN_DATA = 20  # for the variance over minibatches
WELL_KNOWN = 0.5  # a relative standard error, above which a variance that may be negative has no log axis
UNKNOWN = (math.nan, math.nan)


def of_variance(value: float, shares: np.ndarray) -> tuple[float, float]:
    r"""A 95 % interval of a variance, symmetric on the log axis, from its jackknife.

    $$\log s^2 \pm t_\nu \cdot \mathrm{se}, \quad
      \mathrm{se}^2 = \frac{n - 1}{n} \sum_i (\ell_i - \bar\ell)^2$$

    where $\ell_i$ is the logarithm of the variance without observation `i`, and $\nu$ are the degrees of
    freedom of the spread of these, which are few where one observation rules it.

    References:
        Jackknifing variances (Miller, 1968), for the logarithm.

    Args:
        value: The variance.
        shares: Squared deviations of the `n` observations, up to a factor.

    Returns:
        Its ends; nan for fewer than 3 observations, or where one of them is all of the variance.
    """
    count = len(shares)
    if not value > 0:
        return value, value
    if count < 3 or not shares.mean() > 0:
        return UNKNOWN
    without = (count - 1 - shares / shares.mean()) / (count - 2)
    if not without.min() > 0:
        return UNKNOWN
    logs = np.log(without)
    error = math.sqrt((count - 1) ** 2 / count * logs.var(ddof=1))
    factor = math.exp(min(student_t_quantile(degrees_of_freedom(logs)) * error, 700))
    return value / factor, value * factor


def of_signed_variance(value: float, shares: np.ndarray) -> tuple[float, float]:
    """A 95 % interval of an estimate of a variance that noise may make negative.

    Args:
        value: The estimate.
        shares: What each of the `n` observations adds to it, with the estimate as their mean, up to a factor.
    """
    count, mean = len(shares), shares.mean()
    if count < 3 or not shares.std() > 0:
        return UNKNOWN
    error = shares.std(ddof=1) / math.sqrt(count)
    if mean > 0 and error < WELL_KNOWN * mean:
        return of_variance(value, shares)
    half = student_t_quantile(degrees_of_freedom(shares)) * error * abs(value / mean)
    return value - half, value + half
