"""The mean gradient of an estimator against that of its reference."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.probe.bias import BLOCKS, corrected, detectable, p_value, squared_length, z_score

ROUNDING = 32  # units of the least digit, within which two gradients are the same


@dataclass(frozen=True)
class Comparison:
    r"""Squared lengths of the mean gradient $m$ of a group and of its reference $r$, and their difference.

    Args:
        square: Unbiased estimate of $|E\, m|^2$.
        reference: Of $|E\, r|^2$.
        difference: Of $|E (m - r)|^2$; nan for one block.
        product: $\langle m, r \rangle$.
        cosine: Between m and r.
        p: The probability of so long a difference without bias; nan for too few blocks.
        detectable: The length of a difference that is found with a probability of about 80 %.
        tests: How many comparisons are made together.
    """

    square: float
    reference: float
    difference: float
    product: float
    cosine: float
    p: float
    detectable: float
    tests: int

    def columns(self, trace: float, is_biased: bool) -> dict[str, float]:
        """Columns of a measurement that are about the mean.

        Args:
            trace: Of the covariance of one gradient.
            is_biased: Whether the reference's mean may be another than the estimator's.
        """
        square = self.square if is_biased else self.reference
        length = root(self.reference, math.nan)
        single = root(self.reference * (max(square, 0.0) + trace), math.nan)  # of one gradient, times |E r|
        return {
            "snr": root(square) / trace**0.5 if trace > 0 else math.inf,
            "cosine": self.cosine,
            "cosine_of_one": self.product / single,
            "bias": root(self.difference) / length,
            "bias_limit": self.detectable / length,
            "bias_z": z_score(self.p),
            "bias_p": corrected(self.p, self.tests),
        }


def compare_with_reference(
    blocks: Mapping[str, Tensor],
    reference: Mapping[str, Tensor],
    names: Iterable[str],
    tests: int,
    dtype: torch.dtype,
) -> Comparison:
    """The comparison of a group's mean gradient with the reference.

    Args:
        blocks: Mean gradients over blocks of replicates, by parameter, `(blocks, elements)`.
        reference: The same of the reference, with noise of its own.
        names: The parameters of the group.
        tests: How many comparisons are made together.
        dtype: In which the gradients were computed.
    """
    size = len(next(iter(blocks.values())))
    gram, of_reference, of_difference = torch.zeros(3, size, size, dtype=torch.float64)
    product = square = reference_square = 0.0
    for name in names:
        mine, theirs = blocks[name], reference[name]
        difference = mine - theirs
        gram += (mine @ mine.T).cpu()
        of_reference += (theirs @ theirs.T).cpu()
        of_difference += (difference @ difference.T).cpu()
        product += float(mine.mean(0) @ theirs.mean(0))
        square += float(mine.mean(0).square().sum())
        reference_square += float(theirs.mean(0).square().sum())
    several = size > 1
    return Comparison(
        square=squared_length(gram) if several else square,
        reference=squared_length(of_reference) if several else reference_square,
        difference=squared_length(of_difference) if several else math.nan,
        product=product,
        cosine=product / root(square * reference_square, math.nan),
        p=_p_value(of_difference, reference_square, dtype),
        detectable=detectable(of_difference, tests) if size == BLOCKS else math.nan,
        tests=tests,
    )


def root(square: float, otherwise: float = 0.0) -> float:
    """The square root of an estimate that may be negative, which then is something else."""
    return square**0.5 if square > 0 else otherwise


def _p_value(of_difference: Tensor, reference_square: float, dtype: torch.dtype) -> float:
    """The p-value of a difference, of which nothing follows where it is one of rounding errors."""
    precision = ROUNDING * torch.finfo(dtype).eps
    is_same = float(of_difference.diagonal().max()) <= precision**2 * reference_square
    return 0.5 if is_same and len(of_difference) == BLOCKS else p_value(of_difference)
