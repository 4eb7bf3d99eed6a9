import math

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as td

from vae_lab.models.likelihoods import (
    Bernoulli,
    Beta,
    Categorical,
    ContinuousBernoulli,
    Cost,
    DiscretizedLogistic,
    FixedGaussian,
    Gaussian,
    ScalarGaussian,
)
from vae_lab.models.likelihoods.support import check_support

SHAPE = (2, 3, 3)  # (C, H, W)


class Levels:
    """Grey levels with probabilities `(K, B, L, C, H, W)`, by sums over them all."""

    def __init__(self, p):
        self.p = p
        self.values = torch.linspace(0, 1, p.shape[2], dtype=torch.float64).reshape(-1, 1, 1, 1)

    def log_prob(self, x):
        return (self.p * (self.values - x.unsqueeze(2)).abs().lt(1e-9)).sum(2).log()

    @property
    def mean(self):
        return (self.p * self.values).sum(2)

    @property
    def variance(self):
        return (self.p * self.values.square()).sum(2) - self.mean.square()


def logistic_bins(outputs, levels):
    """Probabilities of the bins, as differences of the distribution function at their ends."""
    location, log_scale = outputs.chunk(2, 2)
    location, scale = location.sigmoid().unsqueeze(2), (log_scale - math.log(10)).exp().unsqueeze(2)
    ends = ((torch.arange(levels - 1, dtype=torch.float64) + 0.5) / (levels - 1)).reshape(-1, 1, 1, 1)
    standardised = (ends - location) / scale
    edge = torch.full_like(standardised[:, :, :1], math.inf)
    lower, upper = torch.cat([-edge, standardised], dim=2), torch.cat([standardised, edge], dim=2)
    from_above = torch.sigmoid(-lower) - torch.sigmoid(-upper)  # without cancellation in the upper tail
    return torch.where(lower > 0, from_above, torch.sigmoid(upper) - torch.sigmoid(lower))


REFERENCES = {
    "bernoulli": (Bernoulli(), lambda o: td.Bernoulli(logits=o)),
    "fixed_gaussian": (FixedGaussian(std=0.3), lambda o: td.Normal(o, 0.3)),
    "scalar_gaussian": (ScalarGaussian(initial_std=2.0), lambda o: td.Normal(o, 2.0)),
    "continuous_bernoulli": (ContinuousBernoulli(), lambda o: td.ContinuousBernoulli(logits=o)),
    "beta": (
        Beta(),
        lambda o: td.Beta(*(F.softplus(each) + 1e-3 for each in o.chunk(2, 2))),
    ),
    "categorical": (Categorical(levels=4), lambda o: Levels(o.unflatten(2, (4, 2)).softmax(2))),
    "discretized_logistic": (DiscretizedLogistic(levels=4), lambda o: Levels(logistic_bins(o, 4))),
    "gaussian": (Gaussian(), lambda o: td.Normal(o[:, :, :2], (0.5 * o[:, :, 2:]).exp())),
    "gaussian_sigmoid": (
        Gaussian(mean_activation="sigmoid"),
        lambda o: td.Normal(o[:, :, :2].sigmoid(), (0.5 * o[:, :, 2:]).exp()),
    ),
}


@pytest.fixture(params=REFERENCES)
def case(request):
    family, reference = REFERENCES[request.param]
    generator = torch.Generator().manual_seed(0)
    channels = SHAPE[0] * family.num_outputs
    outputs = torch.randn(4, 5, channels, *SHAPE[1:], generator=generator, dtype=torch.float64)
    if isinstance(family, Beta):
        outputs = 1 + outputs.abs()  # without infinite ends
    elif not isinstance(family, DiscretizedLogistic):  # whose reference would come to 0
        outputs = 3 * outputs
    return family.double(), outputs, reference(outputs)


def data(family):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(5, *SHAPE, generator=generator, dtype=torch.float64)
    if family.levels:
        return (x * (family.levels - 1)).round() / (family.levels - 1)
    return x if family.support != "real" else 4 * x - 2


def test_no_value_of_a_pixel_is_likelier_than_the_mode(case):
    family, outputs, _ = case
    pixels = family(outputs)
    low, high = (-5, 5) if family.support == "real" else (0, 1)
    best = pixels.log_prob(pixels.mode[0])[0]
    for value in torch.linspace(low, high, family.levels or 101, dtype=torch.float64):
        x = pixels.mode[0].clone()
        x[:, 1, 0, 2] = value
        if isinstance(family, Beta) and value in (0, 1):
            continue  # outside of its support
        assert (pixels.log_prob(x)[0] <= best + 1e-9).all()


def test_log_prob_is_the_sum_over_pixels_of_torch(case):
    family, outputs, reference = case
    x = data(family)
    expected = reference.log_prob(x.expand(4, 5, *SHAPE)).sum((2, 3, 4))
    assert torch.allclose(family(outputs).log_prob(x), expected, rtol=1e-6)


def test_the_terms_of_the_pixels_add_up_to_log_prob(case):
    family, outputs, reference = case
    x = data(family)
    terms = family(outputs).log_prob_per_pixel(x)
    assert terms.shape == (4, 5, *SHAPE)
    assert torch.allclose(terms, reference.log_prob(x.expand(4, 5, *SHAPE)), rtol=1e-6)
    assert torch.allclose(terms.flatten(2).sum(-1), family(outputs).log_prob(x))
    shared = family(outputs[:, :1])  # one set of parameters for all data
    assert shared.log_prob_per_pixel(x).shape == (4, 5, *SHAPE)
    assert torch.allclose(shared.log_prob_per_pixel(x).flatten(2).sum(-1), shared.log_prob(x))


def test_mean_is_that_of_torch(case):
    family, outputs, reference = case
    assert torch.allclose(family(outputs).mean, reference.mean)


def test_the_density_integrates_to_one(case):
    family, outputs, _ = case
    pixel = family(outputs[:1, :1, :, :1, :1])  # one datum of C channels
    if family.levels:
        values = torch.cartesian_prod(*[torch.linspace(0, 1, family.levels).double()] * 2)
        cell = 1.0
    elif family.support != "real":  # by powers of the distance to the ends, where a Beta may be infinite
        line = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
        inner = line**4 / (line**4 + (1 - line) ** 4)
        slopes = 4 * (line * (1 - line)) ** 3 / (line**4 + (1 - line) ** 4).square()
        values = torch.cartesian_prod(inner, inner)
        cell = torch.cartesian_prod(slopes, slopes).prod(1) / 2000**2
    else:
        line = torch.linspace(-40, 40, 1601, dtype=torch.float64)
        values, cell = torch.cartesian_prod(line, line), (80 / 1600) ** 2
    total = 0.0
    for start in range(0, len(values), 100_000):
        x = values[start : start + 100_000].reshape(-1, 2, 1, 1)
        weights = cell if isinstance(cell, float) else cell[start : start + 100_000]
        total += float((pixel.log_prob(x).detach().exp() * weights).sum())
    assert total == pytest.approx(1, abs=1e-6)


def test_samples_have_the_mean(case):
    family, outputs, reference = case
    noise = torch.randn if family.base_distribution == "normal" else torch.rand
    total = torch.zeros_like(reference.mean)
    for _ in range(4000):
        total += family(outputs).sample(noise(reference.mean.shape, dtype=torch.float64))
    standard_error = reference.variance.sqrt() / 4000**0.5
    assert ((total / 4000 - reference.mean).abs() <= 5 * standard_error + 1e-3).all()


def test_bernoulli_is_exact_for_extreme_logits():
    logits = torch.tensor([-200.0, -50.0, 0.0, 50.0, 200.0]).reshape(1, 1, 5).requires_grad_()
    for x in (torch.zeros(1, 5), torch.ones(1, 5)):
        log_prob = Bernoulli()(logits).log_prob(x)
        expected = td.Bernoulli(logits=logits.double()).log_prob(x.double()).sum()
        assert log_prob.item() == pytest.approx(expected.item(), rel=1e-6)
        (gradient,) = torch.autograd.grad(log_prob.sum(), logits)
        assert torch.allclose(gradient, x - logits.sigmoid(), atol=1e-7)


def test_unit_variance_costs_half_log_two_pi_per_pixel():
    pixels = FixedGaussian()(torch.zeros(1, 1, 10))
    assert pixels.log_prob(torch.zeros(1, 10)).item() == pytest.approx(-5 * math.log(2 * math.pi), rel=1e-6)


@pytest.mark.parametrize(("family", "argument"), [(FixedGaussian, "std"), (ScalarGaussian, "initial_std")])
def test_bad_scale(family, argument):
    with pytest.raises(ValueError, match=f"{argument} must be above 0, got 0"):
        family(0.0)


def test_one_set_of_logits_for_many_data_is_the_same_by_a_matrix_product():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(7, 1, 1, 4, 4, generator=generator, dtype=torch.float64)
    x = torch.rand(3, 1, 4, 4, generator=generator, dtype=torch.float64)
    together = Bernoulli()(logits).log_prob(x)
    expanded = Bernoulli()(logits.expand(-1, 3, -1, -1, -1)).log_prob(x)
    assert together.shape == (7, 3)
    assert torch.allclose(together, expanded)


def test_the_continuous_bernoulli_is_smooth_where_its_formula_is_not():
    logits = torch.linspace(-0.03, 0.03, 61, dtype=torch.float64).reshape(-1, 1, 1)
    pixels = ContinuousBernoulli()(logits)
    for values in (pixels.mean, pixels.log_prob(torch.tensor([[0.3]])), pixels.sample(0 * logits + 0.3)):
        assert values.flatten().diff().diff().abs().max() < 1e-5


@pytest.mark.parametrize("scale", [-12.0, 0.0, 3.0])
def test_the_discretized_logistic_adds_up_to_one_for_bytes(scale):
    x = (torch.arange(256) / 255).reshape(256, 1, 1, 1)
    outputs = (
        torch.stack([torch.tensor(0.7), torch.tensor(scale)])
        .reshape(1, 1, 2, 1, 1)
        .expand(1, 256, -1, -1, -1)
    )
    log_p = DiscretizedLogistic()(outputs).log_prob(x)
    assert log_p.isfinite().all()
    assert log_p.double().exp().sum().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("family", [DiscretizedLogistic, Categorical])
def test_bad_levels(family):
    with pytest.raises(ValueError, match="levels must be at least 2, got 1"):
        family(levels=1)


@pytest.mark.parametrize(
    ("likelihood", "x", "message"),
    [
        (Bernoulli(), [0, 2], r"Bernoulli needs data in \[0, 1\], but the data go from 0 to 2"),
        (Beta(), [0, 0.5], "Beta has no finite density at 0 and 1, which the data have"),
        (Categorical(levels=4), [0, 0.5], "levels=4 scores the values k/3, and the data have others"),
        (DiscretizedLogistic(), [0, 0.5], "levels=256 scores the values k/255, and the data have others"),
    ],
)
def test_data_that_cannot_be_scored(likelihood, x, message):
    with pytest.raises(ValueError, match=message):
        check_support(type(likelihood).__name__, likelihood.support, likelihood.levels, torch.tensor(x))


def test_what_is_said_of_odd_pairs():
    def said(likelihood, x):
        return check_support(
            type(likelihood).__name__, likelihood.support, likelihood.levels, torch.tensor(x)
        )

    assert "soft targets" in said(Bernoulli(), [0, 0.5])[0]
    assert "is a density, and the data are binary" in said(ContinuousBernoulli(), [0.0, 1.0])[0]
    for likelihood in (
        Gaussian(),
        ContinuousBernoulli(),
        Categorical(levels=3),
        DiscretizedLogistic(levels=3),
    ):
        assert said(likelihood, [0, 0.5]) == []


@pytest.mark.parametrize(
    ("function", "k", "expected"),
    [
        ("quadratic", 3.0, lambda m, s: (m - 3) ** 2 + s**2),
        ("bell", 2.0, lambda m, s: math.exp(-2 * m**2 / (1 + 4 * s**2)) / math.sqrt(1 + 4 * s**2)),
        ("cosine", 1.5, lambda m, s: math.cos(1.5 * m) * math.exp(-((1.5 * s) ** 2) / 2)),
    ],
)
def test_the_expectation_of_a_cost_has_its_closed_form(function, k, expected):
    """E f(z) for z ~ N(m, s^2) in each dimension, by quadrature on a fine grid."""
    m, s = torch.tensor([0.3, -0.7], dtype=torch.float64), 0.8
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    weights = td.Normal(0.0, 1.0).log_prob(grid).exp()
    z = (m + s * grid.unsqueeze(-1)).unsqueeze(1)  # (K, 1, D)
    log_prob = Cost(2, function, k)(z).log_prob(torch.zeros(1, 5)).squeeze(1)
    found = -(weights @ log_prob) / weights.sum()
    assert found.item() == pytest.approx(sum(expected(each, s) for each in m.tolist()), rel=1e-9)
