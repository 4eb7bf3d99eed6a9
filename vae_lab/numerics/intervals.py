"""Student's t for means of skewed or heavy-tailed values."""

import numpy as np
from scipy.special import stdtrit


def student_t_quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t: half of a 95 % interval in standard errors."""
    return float(stdtrit(degrees, 0.975))


def degrees_of_freedom(values: np.ndarray) -> float:
    r"""How well the variance of `n` values is known, in degrees of freedom.

    $$\nu = \min\left(n - 1, \frac{2 n}{\kappa - 1}\right)$$

    with the kurtosis $\kappa$ of the values, 3 for normal ones: the chi-square distribution with as many
    degrees has the relative variance $(\kappa - 1) / n$ of the variance of the values.

    References:
        An approximate distribution of estimates of variance components (Satterthwaite, 1946).

    Args:
        values: At least 2.

    Returns:
        1 at least.

    Example:
        >>> degrees_of_freedom(np.array([0.0, 0.0, 1.0, 1.0]))
        3.0
        >>> round(degrees_of_freedom(np.array([0.0] * 9 + [1.0])), 2)
        2.81
    """
    count, squares = len(values), (values - values.mean()) ** 2
    if not squares.sum() > 0:
        return count - 1.0
    kurtosis = count * (squares**2).sum() / squares.sum() ** 2
    return float(max(1.0, min(count - 1.0, 2 * count / max(kurtosis - 1, 1e-9))))
