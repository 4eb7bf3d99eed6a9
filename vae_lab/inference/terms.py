"""Measures of each datum, and their means with two kinds of error."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Term(NamedTuple):
    """A measure of each of `N` data.

    Args:
        values: `(N,)`.
        variances: Of the values, over the samples that were drawn to estimate them, `(N,)`; None where none
            were, nan where they do not tell.
    """

    values: Tensor
    variances: Tensor | None = None

    def of(self, chosen: Tensor) -> "Term":
        """The same of some of the data."""
        return Term(self.values[chosen], None if self.variances is None else self.variances[chosen])


class Statistic(NamedTuple):
    """The mean of a measure over data.

    Args:
        value: The mean.
        error: Its standard error over the data: how far it is from the mean over all data of this kind.
        monte_carlo_error: Its standard error over the samples: how far it is from the mean over all repeats
            of the sampling for the same data.
    """

    value: float
    error: float = math.nan
    monte_carlo_error: float = 0.0


def mean_of_samples(samples: Tensor) -> Term:
    """The mean over `K` samples `(K, N)`; the variance of a single one is not known."""
    if len(samples) == 1:
        return of_unknown_error(samples[0])
    return Term(samples.mean(0), samples.var(0) / len(samples))


def of_unknown_error(values: Tensor) -> Term:
    """Values whose samples do not tell how far they are off."""
    return Term(values, torch.full_like(values, math.nan))


def statistic(term: Term) -> Statistic:
    """The mean of a term over its data.

    Example:
        >>> statistic(Term(torch.tensor([1.0, 3.0])))
        Statistic(value=2.0, error=1.0, monte_carlo_error=0.0)
    """
    values, count = term.values.double(), len(term.values)
    error = (values.std() / math.sqrt(count)).item() if count > 1 else math.nan
    of_samples = 0.0 if term.variances is None else (term.variances.double().sum().sqrt() / count).item()
    return Statistic(values.mean().item(), error, of_samples)


def difference(a: Term, b: Term) -> Term:
    """One term less another of the same data; their variances added, too much for shared samples."""
    known = [term.variances for term in (a, b) if term.variances is not None]
    return Term(a.values - b.values, torch.stack(known).sum(0) if known else None)


def join(parts: Sequence[Mapping[str, Term]]) -> dict[str, Term]:
    """The terms of all data, from those of some after another; all parts have the same ones."""
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(parts: Sequence[Term]) -> Term:
    variances = [part.variances for part in parts if part.variances is not None]
    return Term(torch.cat([part.values for part in parts]), torch.cat(variances) if variances else None)
