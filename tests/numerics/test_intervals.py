"""Intervals that are printed hold what they are for in 95 % of simulations."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import ndtri

from vae_lab.applications.embed.probing_codes import _score
from vae_lab.applications.impute.scores import ratio_of_sums, root_mean_square_error
from vae_lab.applications.outliers.detection import auroc_with_interval
from vae_lab.evaluation.aggregate_posterior import maximum_mean_discrepancy, mutual_information
from vae_lab.inference.terms import Term, statistic
from vae_lab.models.posteriors.gaussian import DiagonalGaussian
from vae_lab.numerics.intervals import student_t_quantile
from vae_lab.probe.intervals import of_signed_variance, of_variance
from vae_lab.sweep.table import _half_interval

NOMINAL = (0.93, 0.97)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_of_a_table_over_seeds(seeds):
    values = torch.randn(3000, seeds, generator=seeded(), dtype=torch.float64)
    stds = pl.Series(values.std(1).tolist())
    half = _half_interval(stds, pl.Series([seeds] * 3000)).to_torch()
    assert NOMINAL[0] < (values.mean(1).abs() < half).double().mean() < NOMINAL[1]


def test_of_a_mean_over_skewed_data():
    values = torch.empty(2000, 100, dtype=torch.float64).exponential_(generator=seeded())
    found = [statistic(Term(each)) for each in values]
    covered = sum(abs(each.value - 1) < 1.984 * each.error for each in found) / 2000  # Student's t for 99
    assert NOMINAL[0] < covered < NOMINAL[1]


def test_of_a_ratio_over_data_of_different_sizes():
    """Log-likelihoods per missing pixel: where more is missing, each pixel is harder."""
    generator = seeded()
    sizes = torch.randint(5, 40, (1500, 100), generator=generator).double()
    sums = sizes * (0.3 + 0.01 * sizes) + sizes.sqrt() * torch.randn(
        sizes.shape, generator=generator, dtype=torch.float64
    )
    exact = sum(size * (0.3 + 0.01 * size) for size in range(5, 40)) / sum(range(5, 40))
    found = [ratio_of_sums(a, b) for a, b in zip(sums, sizes, strict=True)]
    covered = sum(abs(each.value - exact) < 1.984 * each.error for each in found) / 1500
    assert NOMINAL[0] < covered < NOMINAL[1]


def test_of_a_root_mean_square_error():
    generator = seeded()
    scale = torch.empty(1000, 100, 1, dtype=torch.float64).uniform_(0.5, 1.5, generator=generator)
    errors = scale * torch.randn(1000, 100, 8, generator=generator, dtype=torch.float64)
    exact = math.sqrt(13 / 12)  # E[scale^2]
    missing = torch.ones(100, 8, dtype=torch.bool)
    found = [root_mean_square_error(each, torch.zeros_like(each), missing) for each in errors]
    covered = sum(abs(each.value - exact) < 1.984 * each.error for each in found) / 1000
    assert NOMINAL[0] < covered < NOMINAL[1]


def test_of_mutual_information_over_data_sets_of_one_size():
    """Each datum counts in the aggregate posterior too, which changes the mean in the second order alone."""
    generator, found = seeded(), []
    for _ in range(800):
        mean = torch.randn(150, 1, generator=generator, dtype=torch.float64)
        q = DiagonalGaussian(mean, torch.full_like(mean, math.log(0.5)))
        eps = torch.randn(1, 150, 1, generator=generator, dtype=torch.float64)
        found.append(statistic(Term(mutual_information(q, q.transform(eps)[0]))))
    exact = sum(each.value for each in found) / len(found)
    covered = sum(abs(each.value - exact) < 1.976 * each.error for each in found) / len(found)
    assert NOMINAL[0] < covered < NOMINAL[1]


def skewed(kind, shape, generator):
    """Numbers with their variance: normal, lognormal, or as heavy as Student's t with 5 degrees."""
    normal = torch.randn(shape, generator=generator, dtype=torch.float64)
    if kind == "lognormal":
        return (0.5 * normal).exp(), math.exp(0.25) * (math.exp(0.25) - 1)
    if kind == "heavy":
        squares = torch.randn(5, *shape, generator=generator, dtype=torch.float64).square().mean(0)
        return normal / squares.sqrt(), 5 / 3
    return normal, 1.0


def share_that_covers(intervals, exact):
    return sum(low <= exact <= high for low, high in intervals) / len(intervals)


@pytest.mark.parametrize("kind", ["normal", "lognormal", "heavy"])
@pytest.mark.parametrize(("replicates", "data"), [(8, 100), (16, 50), (32, 50), (100, 20)])
def test_of_a_variance_over_replicates(kind, replicates, data):
    """Of a gradient with two coordinates for each datum."""
    generator, found = seeded(1), []
    for _ in range(5):
        g, variance = skewed(kind, (300, replicates, 2 * data), generator)
        squares = (g - g.mean(1, keepdim=True)).square().sum(2)
        values, shares = squares.sum(1) / (replicates - 1), squares * replicates / (replicates - 1)
        found += [of_variance(float(value), each.numpy()) for value, each in zip(values, shares, strict=True)]
    assert NOMINAL[0] < share_that_covers(found, 2 * data * variance) < NOMINAL[1]


@pytest.mark.parametrize(
    ("kind", "replicates"), [("normal", 8), ("normal", 16), ("normal", 100), ("lognormal", 400)]
)
def test_of_the_variance_of_one_coordinate(kind, replicates):
    g, variance = skewed(kind, (2500, replicates), seeded(2))
    squares = (g - g.mean(1, keepdim=True)).square()
    values, shares = squares.sum(1) / (replicates - 1), squares * replicates / (replicates - 1)
    found = [of_variance(float(value), each.numpy()) for value, each in zip(values, shares, strict=True)]
    assert NOMINAL[0] < share_that_covers(found, variance) < NOMINAL[1]


@pytest.mark.parametrize("kind", ["normal", "lognormal", "heavy"])
@pytest.mark.parametrize(("data", "noise"), [(100, 0.0), (100, 0.5), (100, 2.0), (20, 0.5)])
def test_of_a_variance_over_minibatches(kind, data, noise):
    """The mean gradient of each datum, of 30 parameters, is seen twice with noise of its own."""
    generator, found = seeded(3), []
    for _ in range(4):
        mean, variance = skewed(kind, (400, data, 30), generator)
        both = mean + noise * variance**0.5 * torch.randn(
            2, *mean.shape, generator=generator, dtype=torch.float64
        )
        products = (both - mean.mean(1, keepdim=True)).prod(0).sum(2)
        found += [of_signed_variance(float(each.mean()) / (data - 1), each.numpy()) for each in products]
    assert NOMINAL[0] < share_that_covers(found, 30 * variance / data) < NOMINAL[1]


@pytest.mark.parametrize(
    ("auroc", "outliers", "scale"),
    [(0.3, 34, 1), (0.7, 34, 2), (0.9, 34, 1), (0.9, 34, 2), (0.95, 34, 1), (0.3, 200, 2), (0.95, 200, 2)],
)
def test_of_an_auroc(auroc, outliers, scale):
    """Normal scores, those of the outliers on a scale of their own."""
    rng, shift = np.random.default_rng(4), ndtri(auroc) * math.hypot(1, scale)
    scores = [(rng.normal(size=200), rng.normal(shift, scale, size=outliers)) for _ in range(1500)]
    ends = [each for _, _, *each in itertools.starmap(auroc_with_interval, scores) if not math.isnan(each[0])]
    assert len(ends) > 0.99 * 1500
    assert all(0 < low < high < 1 for low, high in ends)
    assert NOMINAL[0] < share_that_covers(ends, auroc) < NOMINAL[1]


@pytest.mark.parametrize("auroc", [0.98, 0.99, 0.999])
def test_of_an_auroc_near_one_misses_as_rarely_where_it_is_told(auroc):
    """A dash stands in place of the intervals of data that are nearly all in order."""
    rng, shift = np.random.default_rng(5), ndtri(auroc) * math.hypot(1, 2)
    scores = [(rng.normal(size=200), rng.normal(shift, 2, size=34)) for _ in range(500)]
    ends = [each for _, _, *each in itertools.starmap(auroc_with_interval, scores)]
    assert sum(low > auroc or high < auroc for low, high in ends) < 0.05 * 500


def test_of_the_discrepancy_of_aggregate_posterior_and_prior():
    """By Student's t over the blocks, of which there are about sqrt(N)."""
    generator = seeded(6)
    found = [
        statistic(Term(maximum_mean_discrepancy(*torch.randn(2, 400, 2, generator=generator))))
        for _ in range(500)
    ]
    covered = sum(abs(each.value) < student_t_quantile(20 - 1) * each.error for each in found) / 500
    assert NOMINAL[0] < covered < NOMINAL[1]


def test_of_an_accuracy_over_draws_of_labels():
    rights = np.random.default_rng(7).binomial(360, 0.8, size=(2000, 5)) / 360
    found = [_score("knn", "code", 10, each.tolist()) for each in rights]
    covered = (
        sum(abs(each.mean - 0.8) < student_t_quantile(5 - 1) * each.standard_error for each in found) / 2000
    )
    assert NOMINAL[0] < covered < NOMINAL[1]
