"""Squared lengths of mean gradients, and whether two of them differ, from blocks of replicates."""

from functools import lru_cache

import torch
from scipy.optimize import brentq
from scipy.special import ncfdtr
from scipy.stats import f as fisher
from scipy.stats import norm
from torch import Tensor

BLOCKS = 16  # of replicates
NUM_SIGN_FLIPS = 2 ** (BLOCKS - 1)  # to flip their signs: to flip all changes nothing
LEVEL, POWER = 0.05, 0.8
SMALLEST_P_VALUE = 1e-300  # a p-value, so that its z-score is finite
MAX_DEGREES_OF_FREEDOM = 1e4  # of Fisher's distribution, beyond which nothing changes


def squared_length(gram: Tensor) -> float:
    r"""An unbiased estimate of $|E\, v|^2$ from the Gram matrix of independent blocks `v_i`.

    Args:
        gram: Inner products of the blocks, `(M, M)`, `M` at least 2.
    """
    blocks = len(gram)
    return float((gram.sum() - gram.trace()) / (blocks * (blocks - 1)))


def p_value(gram: Tensor) -> float:
    r"""The probability of a mean as long as $\frac1M \sum_i v_i$ if its expectation is zero.

    The share of the ways $s \in \{-1, 1\}^M$ to flip the signs of the blocks by which $|\sum_i s_i v_i|$ is
    at least as long. It is exact for symmetric blocks, whatever their dimension and covariance. Where no way
    gives a longer one, Fisher's distribution tells by how much, with $\nu$ degrees of freedom for each block:

    $$\frac{M |\bar v|^2}{\mathrm{tr}\, S} \sim F(\nu, (M - 1) \nu), \quad
      \nu = \frac{(\mathrm{tr}\, \Sigma)^2}{\mathrm{tr}\, \Sigma^2}$$

    References:
        The Design of Experiments (Fisher, 1935), section 21; Some theorems on quadratic forms applied in the
        study of analysis of variance problems (Box, 1954), theorem 3.1, for the degrees of freedom.

    Args:
        gram: Inner products of the blocks, `(16, 16)`.

    Returns:
        NaN for fewer blocks, which have too few ways, and where nothing varies.
    """
    if len(gram) < BLOCKS or not gram.trace() > 0:
        return float("nan")
    share = _share_of_longer(gram)
    if share > 1.5 / NUM_SIGN_FLIPS:
        return share
    trace, dimensions = _spread(gram)
    ratio = float(gram.sum()) / BLOCKS / trace if trace > 0 else float("inf")
    return float(min(share, max(fisher.sf(ratio, dimensions, dimensions * (BLOCKS - 1)), SMALLEST_P_VALUE)))


def z_score(p: float) -> float:
    """The quantile of the standard normal distribution that a p-value stands for; finite for p = 1 too."""
    return float(norm.isf(p - 0.5 / NUM_SIGN_FLIPS if p > 0.75 / NUM_SIGN_FLIPS else p))


def detectable(gram: Tensor, tests: int) -> float:
    r"""The length of an expectation that is found with a probability of about 80 % among so many tests.

    By the noncentral F distribution with the degrees of freedom of `p_value`, for a direction of average
    variance, at the level of 5 % for all tests together.

    Args:
        gram: Inner products of the blocks, `(16, 16)`.
        tests: How many.
    """
    trace, dimensions = _spread(gram)
    if not trace > 0:
        return float("nan")
    degrees = dimensions, dimensions * (BLOCKS - 1)
    critical = fisher.isf(1 - (1 - LEVEL) ** (1 / tests), *degrees)

    def missed(noncentrality: float) -> float:
        return float(ncfdtr(*degrees, noncentrality, critical)) - (1 - POWER)

    most = 1.0
    while missed(most) > 0:
        most *= 2
    return float((brentq(missed, 0, most) * trace / dimensions / BLOCKS) ** 0.5)


def corrected(p: float, tests: int) -> float:
    """The probability of so small a p-value among so many independent tests (Šidák, 1967)."""
    return -torch.expm1(tests * torch.log1p(torch.tensor(-p, dtype=torch.float64))).item()


def _share_of_longer(gram: Tensor) -> float:
    """The share of the ways to flip signs with a sum at least as long: both halves of the blocks in turn."""
    gram, half = gram.cpu().double(), BLOCKS // 2
    tails = _signs(half)
    heads = tails[: len(tails) // 2]  # the first block stays: to flip all changes nothing
    within = [
        ((s @ part) * s).sum(1) for s, part in ((heads, gram[:half, :half]), (tails, gram[half:, half:]))
    ]
    lengths = within[0].unsqueeze(1) + within[1] + 2 * heads @ gram[:half, half:] @ tails.T
    return float((lengths >= lengths[0, 0] * (1 - 1e-12)).double().mean())


@lru_cache(maxsize=1)
def _signs(count: int) -> Tensor:
    """All ways to flip so many signs, `(2^number, number)`; none in row 0, the first in the second half."""
    flipped = torch.arange(2**count).unsqueeze(1) >> torch.arange(count).flip(0) & 1
    return (1 - 2 * flipped).double()


def _spread(gram: Tensor) -> tuple[float, float]:
    """tr(S) of the blocks' covariance, and its effective number of dimensions, from unbiased traces."""
    free = len(gram) - 1
    centred = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
    trace, square = float(centred.trace()) / free, float(centred.square().sum()) / free**2
    of_square = free**2 / ((free + 2) * (free - 1)) * (square - trace**2 / free)  # tr(Sigma^2)
    if not of_square > 0:
        return trace, MAX_DEGREES_OF_FREEDOM
    return trace, min(max((trace**2 - 2 * of_square / free) / of_square, 1.0), MAX_DEGREES_OF_FREEDOM)
