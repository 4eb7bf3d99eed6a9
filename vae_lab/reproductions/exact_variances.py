r"""Exact variances of gradient estimators of $E f(x)$ for one Gaussian variable, by quadrature."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameter = Literal["mean", "std"]
EPS = np.linspace(-12, 12, 4801)
NORMAL = np.exp(-0.5 * EPS**2) / np.sqrt(2 * np.pi) * (EPS[1] - EPS[0])
HALF = np.linspace(0, 12, 2401)
STEP = HALF[1] - HALF[0]
NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(48)
UNIFORM, UNIFORM_WEIGHTS = 0.5 * (NODES + 1), 0.5 * NODE_WEIGHTS


class CostFunction(NamedTuple):
    """A function of x and its derivative."""

    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def cost(function: str, k: float) -> CostFunction:
    """The costs of `vae_lab.models.likelihoods.Cost`: `quadratic`, `bell` and `cosine`."""
    if function == "quadratic":
        return CostFunction(lambda x: (x - k) ** 2, lambda x: 2 * (x - k))
    if function == "bell":
        return CostFunction(lambda x: np.exp(-k * x**2), lambda x: -2 * k * x * np.exp(-k * x**2))
    return CostFunction(lambda x: np.cos(k * x), lambda x: -k * np.sin(k * x))


def score_function(of: CostFunction, parameter: Parameter, mean: float = 1.0, std: float = 1.0) -> float:
    r"""Variance of $f(x) \nabla \log q(x)$, $x \sim q = N(\mu, \sigma^2)$."""
    return _variance(of.f(mean + std * EPS) * _score(parameter, std))


def optimal_baseline(of: CostFunction, parameter: Parameter, mean: float = 1.0, std: float = 1.0) -> float:
    r"""Variance of $(f(x) - b)\, h(x)$, h the score, with the best constant, $b = E[f h^2] / E[h^2]$."""
    values, score = of.f(mean + std * EPS), _score(parameter, std)
    best = (NORMAL @ (values * score**2)) / (NORMAL @ score**2)
    return _variance((values - best) * score)


def pathwise(of: CostFunction, parameter: Parameter, mean: float = 1.0, std: float = 1.0) -> float:
    r"""Variance of $f'(\mu + \sigma \epsilon)$ for the mean, and of $\epsilon$ times it for $\sigma$."""
    return _variance(of.slope(mean + std * EPS) * (EPS if parameter == "std" else 1))


def measure_valued(of: CostFunction, parameter: Parameter, mean: float = 1.0, std: float = 1.0) -> float:
    r"""Variance of the difference of costs at coupled samples of the derivative's two parts.

    For the mean $\frac{1}{\sigma \sqrt{2 \pi}} (f(\mu + \sigma w) - f(\mu - \sigma w))$ with w from the
    Weibull distribution $w e^{-w^2/2}$; for $\sigma$ $\frac1\sigma (f(\mu + \sigma m) - f(\mu + \sigma m u))$
    with m from the double-sided Maxwell distribution and u uniform, so that their product is normal.
    """
    if parameter == "mean":
        weights = HALF * np.exp(-0.5 * HALF**2) * STEP
        values = (of.f(mean + std * HALF) - of.f(mean - std * HALF)) / (std * np.sqrt(2 * np.pi))
        return float(weights @ values**2 - (weights @ values) ** 2)
    maxwell = EPS[::4, None]
    weights = 4 * NORMAL[::4, None] * maxwell**2 * UNIFORM_WEIGHTS
    values = (of.f(mean + std * maxwell) - of.f(mean + std * maxwell * UNIFORM)) / std
    return float((weights * values**2).sum() - (weights * values).sum() ** 2)


def _score(parameter: Parameter, std: float) -> Array:
    return (EPS if parameter == "mean" else EPS**2 - 1) / std


def _variance(values: Array) -> float:
    return float(NORMAL @ values**2 - (NORMAL @ values) ** 2)
