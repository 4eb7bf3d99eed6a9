"""Intervals that are printed hold what they are for in 95 % of simulations."""

import math

import polars as pl
import pytest
import torch

from vae_lab.evaluation.aggregate_posterior import mutual_information
from vae_lab.evaluation.imputation.scores import ratio_of_sums, root_mean_square_error
from vae_lab.evaluation.terms import Term, statistic
from vae_lab.orchestration.table import _half_interval
from vae_lab.posteriors.gaussian import DiagonalGaussian

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
