"""Statistics and properties that the checks of several kinds of parts share."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from vae_lab.checks.finding import DoesNotApplyError, raised

P_VALUE = 1e-5  # below which a statistic of a sample speaks against a part
GRID = 200_001  # points of a numerical integral


def limit_of(tests: int = 1) -> float:
    """The standard errors from which on one of so many means counts as different."""
    return float(stats.norm.isf(P_VALUE / (2 * tests)))


def check_means(name: str, samples: Tensor, expected: Tensor) -> float:
    """Checks that the means of samples are as expected; gives the largest difference in standard errors.

    Args:
        name: Of the quantity, for the message.
        samples: `(N, ...)`.
        expected: `(...)`.

    Raises:
        AssertionError: If one is not.
    """
    error = samples.std(0) / len(samples) ** 0.5
    difference = (samples.mean(0) - expected).abs()
    z = torch.where(difference < 1e-9, 0.0, difference / error.clamp_min(1e-300))
    worst = int(z.argmax())
    largest = float(z.flatten()[worst])
    assert largest <= limit_of(z.numel()), (
        f"{name} is {float(expected.flatten()[worst]):.5g}, and that of {len(samples):,} samples is "
        f"{float(samples.mean(0).flatten()[worst]):.5g}, {largest:.1f} standard errors away"
    )
    return largest


def integral(
    log_density: Callable[[Tensor], Tensor], low: float, high: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The integral of densities of one variable, by the trapezoidal rule in a variable without ends.

    Args:
        log_density: Maps values `(G,)` to `(G, P)`, for P densities.
        low: End of the support; minus infinity for the real line.
        high: The other end.

    Returns:
        The grid, the cumulative integrals `(G, P)` and the densities.
    """
    if np.isinf(low):
        t = torch.linspace(-1 + 1e-6, 1 - 1e-6, GRID, dtype=torch.float64)
        x, slope = t / (1 - t.square()), (1 + t.square()) / (1 - t.square()).square()
    else:
        t = torch.linspace(-36.0, 36.0, GRID, dtype=torch.float64)  # densities may be infinite at the ends
        x, slope = low + (high - low) * t.sigmoid(), (high - low) * t.sigmoid() * (-t).sigmoid()
    density = log_density(x).exp()
    weighted = density * slope.unsqueeze(-1)
    steps = 0.5 * (weighted[1:] + weighted[:-1]) * (t[1] - t[0])
    cumulative = torch.cat([steps.new_zeros(1, steps.shape[1]), steps.cumsum(0)])
    return x, cumulative, density


def check_samples(name: str, samples: Tensor, x: Tensor, cumulative: Tensor) -> float:
    """Checks samples of several variables against their distribution functions by Kolmogorov and Smirnov.

    Args:
        name: Of the variable, for the message.
        samples: `(N, P)`.
        x: The grid, `(G,)`.
        cumulative: The distribution functions on it, `(G, P)`.

    Returns:
        The smallest p-value.

    Raises:
        AssertionError: If samples and density do not match.
    """
    smallest = 1.0
    for place in range(samples.shape[1]):
        uniform = np.interp(samples[:, place].numpy(), x.numpy(), cumulative[:, place].numpy())
        test = stats.kstest(uniform, "uniform")
        smallest = min(smallest, float(test.pvalue))
        assert test.pvalue > P_VALUE / samples.shape[1], (
            f"samples of {name} do not follow exp(log_prob): the distribution functions are "
            f"{test.statistic:.3g} apart, p = {test.pvalue:.1g}"
        )
    return smallest


def check_device(call: Callable[[], object]) -> str:
    """Checks that a call with tensors of another device mixes none.

    Raises:
        AssertionError: If a tensor is on the CPU whatever the device.
        DoesNotApplyError: If that cannot be told without a GPU.
    """
    try:
        call()
    except RuntimeError as error:  # also what a tensor without values cannot do
        if "expected device" not in str(error):
            raise DoesNotApplyError(f"cannot be told without a GPU ({raised(error)})") from error
        raise AssertionError(
            f"mixes devices ({raised(error)}); make tensors by torch.zeros_like(other) or device=other.device"
        ) from error
    return "no tensor is made on another device than that of the inputs"


def check_close(name: str, single: Tensor, double: Tensor, tolerance: float = 1e-3) -> str:
    """Checks a result in float32 against that in float64.

    Raises:
        AssertionError: If its type or its values differ.
    """
    assert single.dtype == torch.float32, f"{name} must be of the inputs' type, float32, got {single.dtype}"
    error = float((single.double() - double).norm() / double.norm().clamp_min(1e-12))
    assert error < tolerance, f"{name} in float32 is {error:.1g} away from that in float64, relatively"
    return f"{name} within {error:.0e} of that in float64"
