"""The variance of the estimators against closed forms and published crossings.

With one latent dimension and one sample an estimate is a function of one standard normal number, so that its
variance is an integral, which the noise as an explicit input lets us compute on a grid: no sampling error.
"""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm
from torch import nn

from vae_lab.estimators import (
    IWAE,
    LAX,
    OVIS,
    STLIWAE,
    VIMCO,
    DeltaMethod,
    DReG,
    MeasureValued,
    Reparameterized,
    ScoreFunction,
    StickingTheLanding,
    Taylor,
)
from vae_lab.estimators.baselines import LeaveOneOut, RunningMean
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.likelihoods import FixedGaussian
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.networks import Linear
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE, Batch

EPS = torch.linspace(-12, 12, 6001, dtype=torch.float64)
WEIGHTS = torch.exp(-0.5 * EPS.square()) / math.sqrt(2 * math.pi) * (EPS[1] - EPS[0])

pathwise = partial(Reparameterized, kl="entropy")
score_function = partial(ScoreFunction, kl="entropy")


class Objective(Likelihood):
    """A likelihood whose log-density is f(z) whatever the data are."""

    support = "real"

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, z):
        self.z = z
        return self

    def log_prob(self, x):
        return self.f(self.z)


class Terms(Prior):
    """An unnormalised prior that is a product of exp f(z_d)."""

    factorises = True

    def __init__(self, f):
        super().__init__()
        self.f = f

    def log_prob(self, z):
        return self.f(z).sum(-1)

    def log_prob_per_dimension(self, z):
        return self.f(z)


FLAT = Terms(torch.zeros_like)


def gradients(estimator, f, eps, mu=1.0, s=1.0, prior=FLAT, **noise):
    """Estimates of d E[f] / d mu and d / d s, each `(N, D)`, for noise `(K, N, D)`.

    The data stand for the encoder's outputs, mean and log-variance. With `kl=entropy` and a flat prior the
    objective is E[f] plus the entropy, whose gradient is exact: it adds 1 / s to the mean of d / d s.
    """
    number, dims = eps.shape[1:]
    outputs = torch.cat(
        [torch.full((number, dims), mu), torch.full((number, dims), 2 * math.log(s))], dim=1
    ).to(eps)
    outputs.requires_grad_()
    vae = VAE(nn.Identity(), nn.Identity(), Gaussian(dims), Objective(f), prior, dims)
    surrogate = estimator(vae, Batch(outputs, torch.arange(number)), {"posterior": eps} | noise).surrogate
    found = torch.autograd.grad(surrogate.sum(), outputs)[0]
    return found[:, :dims], found[:, dims:] * 2 / s


def variances(estimator, f, mu=1.0, s=1.0, prior=FLAT):
    """The exact variances of the single-sample estimates of d/dmu and d/ds."""
    found = gradients(estimator, f, EPS.reshape(1, -1, 1), mu, s, prior)
    return [float((WEIGHTS @ g.square() - (WEIGHTS @ g).square()).item()) for g in found]


def with_baseline(value):
    estimator = ScoreFunction({"running_mean": RunningMean()}, kl="entropy").double()
    estimator.update({"running_mean.mean": torch.tensor(value, dtype=torch.float64)})
    return estimator


def expectation(f, mu=1.0, s=1.0):
    """E f and, for each score, its optimal baseline E[f score^2] / E[score^2]."""
    values = f((mu + s * EPS).unsqueeze(-1))
    scores = (EPS / s, (EPS.square() - 1) / s)
    best = [WEIGHTS @ (values * score.square()) / (WEIGHTS @ score.square()) for score in scores]
    return float(WEIGHTS @ values), *map(float, best)


def optimal_baseline(f, mu=1.0, s=1.0):
    _, for_mu, for_s = expectation(f, mu, s)
    return [variances(with_baseline(for_mu), f, mu, s)[0], variances(with_baseline(for_s), f, mu, s)[1]]


def linear(z):
    return z.sum(-1)


def square(z, k=0.0):
    return (z - k).square().sum(-1)


def cosine(z, k):
    return (k * z).cos().sum(-1)


def bell(z, k):
    return (-k * z.square()).exp().sum(-1)


SETTINGS = [(1.0, 1.0), (-0.7, 0.4), (2.0, 1.7)]


@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_of_a_linear_function(mu, s):
    assert variances(score_function(), linear, mu, s) == pytest.approx(
        [mu**2 / s**2 + 2, 2 * mu**2 / s**2 + 10], rel=1e-6
    )
    mean = expectation(linear, mu, s)[0]
    assert variances(with_baseline(mean), linear, mu, s) == pytest.approx([2, 10], rel=1e-6)
    assert variances(pathwise(), linear, mu, s) == pytest.approx([0, 1], abs=1e-6)


@pytest.mark.parametrize("k", [0.0, 1.5, -3.0])
@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_of_a_quadratic(mu, s, k):
    f, m = partial(square, k=k), mu - k
    assert variances(score_function(), f, mu, s) == pytest.approx(
        [m**4 / s**2 + 14 * m**2 + 15 * s**2, 2 * m**4 / s**2 + 60 * m**2 + 74 * s**2], rel=1e-6
    )
    centred = variances(with_baseline(expectation(f, mu, s)[0]), f, mu, s)
    assert centred == pytest.approx([8 * m**2 + 10 * s**2, 40 * m**2 + 56 * s**2], rel=1e-6)
    assert optimal_baseline(f, mu, s) == pytest.approx([8 * m**2 + 6 * s**2, 40 * m**2 + 24 * s**2], rel=1e-6)
    assert variances(pathwise(), f, mu, s) == pytest.approx([4 * s**2, 4 * m**2 + 8 * s**2], rel=1e-6)


@pytest.mark.parametrize(
    ("k", "expected"),
    [(0.5, (0.4553, 0.0393)), (1, (0.3240, 0.2677)), (2, (0.4411, 1.9399)), (5, (0.5, 12.5))],
)
def test_of_a_cosine(k, expected):
    f = partial(cosine, k=k)
    found = [variances(make(), f)[0] for make in (score_function, pathwise)]
    assert found == pytest.approx(expected, abs=6e-5 if k < 5 else 6e-4)
    g = -k * math.exp(-(k**2) / 2) * math.sin(k)
    by_score = (1 + (1 - 4 * k**2) * math.exp(-2 * k**2) * math.cos(2 * k)) / 2 - g**2
    by_path = k**2 * (1 - math.exp(-2 * k**2) * math.cos(2 * k)) / 2 - g**2
    assert found == pytest.approx([by_score, by_path], rel=1e-6)


@pytest.mark.parametrize(
    ("k", "mu_row", "s_row"),
    [
        (0.1, (0.5635, 0.0405, 0.0163), (0.9354, 0.0278)),
        (1, (0.1758, 0.0722, 0.2117), (0.1767, 0.1757)),
        (10, (0.0770, 0.0602, 0.9416), (0.0090, 0.8920)),
    ],
)
def test_of_a_bell(k, mu_row, s_row):
    """The rows of k = 10 differ from older tables in the third digit; adaptive quadrature confirms these."""

    def estimate(e, power):
        return -2 * k * (1 + e) * math.exp(-k * (1 + e) ** 2) * e**power

    def of_pathwise(power):  # by another rule than the grid's; power 0 for mu, 1 for s
        mean = quad(lambda e: norm.pdf(e) * estimate(e, power), -9, 9)[0]
        return quad(lambda e: norm.pdf(e) * (estimate(e, power) - mean) ** 2, -9, 9)[0]

    f = partial(bell, k=k)
    score, optimal, path = variances(score_function(), f), optimal_baseline(f), variances(pathwise(), f)
    assert (score[0], optimal[0], path[0]) == pytest.approx(mu_row, abs=6e-5)
    assert (score[1], path[1]) == pytest.approx(s_row, abs=6e-5)
    assert path == pytest.approx([of_pathwise(0), of_pathwise(1)], rel=1e-6)


def of_measure_valued(f, mu=1.0, s=1.0, points=800):
    """The exact variances of the measure-valued estimates: of two numbers, a normal and a Rayleigh one."""
    half = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    eps, radius = torch.meshgrid(18 * half - 9, 9 * half, indexing="ij")
    weights = (radius * torch.exp(-0.5 * (eps.square() + radius.square()))).flatten()
    perturbation = torch.stack([radius, torch.zeros_like(radius)], dim=-1).view(1, -1, 2, 1)
    estimator, weights = MeasureValued(kl="entropy"), weights / weights.sum()
    found = gradients(estimator, f, eps.reshape(1, -1, 1), mu, s, perturbation=perturbation)
    return [float(weights @ g[:, 0].square() - (weights @ g[:, 0]).square()) for g in found]


@pytest.mark.parametrize("k", [0.0, -3.0])
@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_measure_valued_of_a_quadratic(mu, s, k):
    found, m = of_measure_valued(partial(square, k=k), mu, s), mu - k
    assert found == pytest.approx([4 * m**2 * (4 - math.pi) / math.pi, 4 * m**2 + 4 * s**2], rel=2e-4)


@pytest.mark.parametrize(("k", "expected"), [(0.1, 0.0025), (1, 0.0126), (10, 0.0207)])
def test_measure_valued_of_a_bell(k, expected):
    assert of_measure_valued(partial(bell, k=k))[0] == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize("k", [-1.0, -0.92, -0.9, 2.9, 2.92])
def test_where_measure_valued_and_pathwise_gradients_cross(k):
    """Mohamed et al. (2020), figure 2: for the mean at |1 - k| = 1.913, for the scale nowhere."""
    f = partial(square, k=k)
    measure, path = of_measure_valued(f, points=400), variances(pathwise(), f)
    assert (measure[0] < path[0]) == (abs(1 - k) < 1.913)
    assert measure[1] < path[1]


@pytest.mark.parametrize("make", [Taylor, DeltaMethod], ids=["taylor", "delta_method"])
@pytest.mark.parametrize("kl", ["analytic", "sampled", "entropy"])
@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_a_quadratic_control_variate_leaves_nothing_of_a_quadratic(mu, s, kl, make):
    found = variances(make(kl=kl), partial(square, k=1.5), mu, s, StandardNormal(1))
    assert found == pytest.approx([0, 0], abs=1e-8)


@pytest.mark.parametrize("k", [0.5, 1, 2])
def test_taylor_of_a_cosine(k):
    """Less Hs eps, and Cov(f', eps) = s E f'' (Stein): Var f' + s^2 f''(mu)^2 - 2 s^2 f''(mu) E f''."""
    f = partial(cosine, k=k)
    at_mean = -(k**2) * math.cos(k)
    expected = variances(pathwise(), f)[0] + at_mean**2 - 2 * at_mean**2 * math.exp(-(k**2) / 2)
    assert variances(Taylor(kl="entropy"), f)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [0.5, 1, 2])
def test_the_delta_method_of_a_cosine(k):
    """By another rule than the grid's, from (f - h) times the score."""

    def moment(power, score):
        def integrand(e):
            h = math.cos(k) - k * math.sin(k) * e - 0.5 * k**2 * math.cos(k) * e**2
            return norm.pdf(e) * ((math.cos(k * (1 + e)) - h) * score(e)) ** power

        return quad(integrand, -12, 12)[0]

    found = variances(DeltaMethod(kl="entropy"), partial(cosine, k=k))
    for value, score in zip(found, (lambda e: e, lambda e: e**2 - 1), strict=True):
        assert value == pytest.approx(moment(2, score) - moment(1, score) ** 2, rel=1e-6)


def test_the_scaled_delta_method_has_the_least_variance_with_many_samples():
    """K times the variance tends to Var(f s) - Cov(f s, h s)^2 / Var(h s); the coefficients cost a little."""
    k, samples = 1.5, 400
    f = partial(cosine, k=k)

    def bent(z):
        step = z - 1
        terms = math.cos(k) - k * math.sin(k) * step - 0.5 * k**2 * math.cos(k) * step.square()
        return terms.sum(-1)

    plain, control = (variances(score_function(), g) for g in (f, bent))
    both = variances(score_function(), lambda z: f(z) + bent(z))
    estimator = DeltaMethod(samples, kl="entropy", optimal_scaling=True)
    found = gradients(estimator, f, normal(samples, 5000, 1))
    for coordinate in (0, 1):
        covariance = (both[coordinate] - plain[coordinate] - control[coordinate]) / 2
        least = plain[coordinate] - covariance**2 / control[coordinate]
        assert samples * found[coordinate].var().item() == pytest.approx(least, rel=0.1)


class OfLatent(nn.Module):
    """A network of data and latent vectors side by side, the last of which it makes `f` of."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, inputs):
        return self.f(inputs[:, -1:])


@pytest.mark.parametrize(("mu", "s"), SETTINGS)
def test_lax_between_the_score_function_and_the_pathwise_gradient(mu, s):
    """With the network c = 0 it is the one, with c = f the other."""
    f = partial(square, k=1.5)
    for c, same in ((lambda z: 0 * z.sum(-1), score_function()), (f, pathwise())):
        estimator = LAX(lambda in_shape, out_shape, c=c: OfLatent(c), kl="entropy")
        estimator.control_variate.prepare((2,), latent_dim=1)
        assert variances(estimator, f, mu, s) == pytest.approx(variances(same, f, mu, s), rel=1e-6)


def of_posterior(z):
    """A log-likelihood which, with the standard normal prior, makes N(0.5, 0.5) the posterior."""
    return -0.5 * (z - 1).square().sum(-1)


def test_ovis_and_vimco_at_the_posterior():
    """All weights are equal: d_k - c_k is 0 but for gamma below 1, and VIMCO keeps -1/K times the scores."""
    samples, s = 5, math.sqrt(0.5)
    eps, auxiliary = normal(samples, 50_000, 1), normal(3, 50_000, 1, seed=1)

    def of(estimator):
        noise = {"auxiliary": auxiliary}
        return gradients(estimator, of_posterior, eps, 0.5, s, StandardNormal(1), **noise)[0].var().item()

    assert of(OVIS(samples)) == pytest.approx(0, abs=1e-16)
    assert of(OVIS(samples, num_auxiliary=3)) == pytest.approx(0, abs=1e-16)
    left = (1 / samples + math.log(1 - 1 / samples)) ** 2
    assert of(OVIS(samples, gamma=0.0)) == pytest.approx(samples * left / s**2, rel=0.02)
    assert of(VIMCO(samples)) == pytest.approx(1 / (samples * s**2), rel=0.02)


def test_the_variance_of_ovis_falls_as_the_third_power_of_the_number_of_samples():
    """As that of DReG, and the first power is VIMCO's."""
    found = {OVIS: [], VIMCO: [], DReG: []}
    numbers = [10, 20, 40, 80]
    for samples in numbers:
        eps = normal(samples, 4000, 1)
        for make, values in found.items():
            draws = gradients(make(samples), of_posterior, eps, 0.4, 0.8, StandardNormal(1))[0]
            values.append(math.log(draws.var().item()))
    slopes = {make: np.polyfit(np.log(numbers), values, 1)[0] for make, values in found.items()}
    assert slopes[OVIS] == pytest.approx(-3, abs=0.25)
    assert slopes[DReG] == pytest.approx(-3, abs=0.25)
    assert slopes[VIMCO] == pytest.approx(-1, abs=0.15)


@pytest.mark.parametrize(
    ("f", "mu_row", "s_row"),
    [
        (lambda z: (z + z.square()).sum(-1), (17, 4), (84, 9)),
        (lambda z: z.sin().sum(-1), (0.335, 0.200), (0.865, 0.297)),
        (lambda z: (10 * z).sin().sum(-1), (0.5, 50), (1, 50)),
    ],
    ids=["x+x2", "sin", "sin10"],
)
def test_no_estimator_dominates(f, mu_row, s_row):
    """The table of Gal's thesis, at mu = 0 and s = 1."""
    score, path = (variances(make(), f, mu=0.0) for make in (score_function, pathwise))
    assert (score[0], path[0]) == pytest.approx(mu_row, rel=3e-3)
    assert (score[1], path[1]) == pytest.approx(s_row, rel=3e-3)


@pytest.mark.parametrize(
    ("f", "baseline", "coordinate", "crossing"),
    [
        (bell, "none", 0, 0.869),
        (bell, "none", 1, 1.002),
        (bell, "optimal", 0, 0.358),
        (bell, "optimal", 1, 0.752),
        (cosine, "none", 0, 1.063),
        (cosine, "none", 1, 1.297),
        (cosine, "optimal", 0, 1.062),
        (cosine, "optimal", 1, 1.280),
    ],
)
def test_where_pathwise_and_score_function_cross(f, baseline, coordinate, crossing):
    """Figure 3 of Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020)."""

    def log_ratio(k):
        at_k = partial(f, k=k)
        score = variances(score_function(), at_k) if baseline == "none" else optimal_baseline(at_k)
        return math.log(score[coordinate] / variances(pathwise(), at_k)[coordinate])

    assert log_ratio(0.9 * crossing) > 0 > log_ratio(1.1 * crossing)
    found = brentq(log_ratio, 0.9 * crossing, 1.1 * crossing, xtol=1e-5)
    assert found == pytest.approx(crossing, abs=1e-3)


@pytest.mark.parametrize(("dims", "number"), [(1, 2_000_000), (2, 2_000_000), (5, 2_000_000), (20, 400_000)])
def test_the_score_function_grows_with_the_dimension(dims, number):
    s = 0.8
    eps = normal(1, number, dims)
    by_score = gradients(score_function(), square, eps, mu=0.0, s=s)[0]
    assert by_score.var(0).mean().item() == pytest.approx(s**2 * (dims + 2) * (dims + 4), rel=0.02)
    by_path = gradients(pathwise(), square, eps, mu=0.0, s=s)[0]
    assert by_path.var(0).mean().item() == pytest.approx(4 * s**2, rel=0.02)
    zero, terms = (lambda z: 0.0 * z.sum(-1)), Terms(torch.square)
    dropped = gradients(score_function(rao_blackwell=True), zero, eps, mu=0.0, s=s, prior=terms)[0]
    assert dropped.var(0).mean().item() == pytest.approx(15 * s**2, rel=0.02)


@pytest.mark.parametrize("dims", [2, 10])
def test_the_score_function_of_many_dimensions_away_from_the_origin(dims):
    m, s = 0.6, 0.8
    r1 = (dims - 1) * (m**2 + s**2)
    r2 = (dims - 1) * (4 * m**2 * s**2 + 2 * s**4) + r1**2
    expected = (m**4 + 18 * m**2 * s**2 + 15 * s**4 + 2 * (m**2 + 3 * s**2) * r1 + r2) / s**2 - 4 * m**2
    found = gradients(score_function(), square, normal(1, 1_000_000, dims), mu=m, s=s)[0]
    assert found.var(0).mean().item() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("samples", "expected"), [(2, 14), (4, 5.333), (16, 1.1667), (64, 0.2837)])
def test_leave_one_out(samples, expected):
    """Var = Var((f - Ef) s) / K + (Var f Var s + g^2) / (K (K - 1)); here 18, 6, 1 and 2."""
    assert 18 / samples + (6 * 1 + 2**2) / (samples * (samples - 1)) == pytest.approx(expected, rel=1e-3)
    estimator = score_function({"leave_one_out": LeaveOneOut()}, num_samples=samples)
    found = gradients(estimator, square, normal(samples, 16_000_000 // samples, 1))[0]
    assert found.var().item() == pytest.approx(expected, rel=0.02)


def test_leave_one_out_of_two_samples_exactly():
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)  # exact up to degree 39
    first, second = (torch.as_tensor(grid).flatten() for grid in np.meshgrid(nodes, nodes))
    weight = torch.as_tensor(np.outer(weights, weights)).flatten() / (2 * math.pi)
    estimator = score_function({"leave_one_out": LeaveOneOut()}, num_samples=2)
    found = gradients(estimator, square, torch.stack([first, second]).unsqueeze(-1))[0][:, 0]
    assert float(weight @ found.square() - (weight @ found).square()) == pytest.approx(14, rel=1e-9)


def test_optimal_scaling_reaches_the_optimal_baseline_with_many_samples():
    """K times the variance tends to 14 and 64, those of the optimal constants, from above.

    The coefficients of a sample come from the K - 1 others and cost about 40 / K of the variance more; ten
    thousand estimates know a variance to 1.4 %.
    """
    samples = 1600
    estimator = score_function(num_samples=samples, optimal_scaling=True)
    found = gradients(estimator, square, normal(samples, 10_000, 1))
    for coordinate, (optimum, plain) in enumerate(((14, 30), (64, 136))):
        scaled = samples * found[coordinate].var().item()
        assert scaled == pytest.approx(optimum, rel=0.06)
        assert scaled < 0.6 * plain


@pytest.mark.parametrize(("t", "s"), [(0.5, 0.5), (0.5, 0.2), (0.5, 1.0), (0.8, 0.3)])
def test_of_the_evidence_lower_bound(t, s):
    """Posterior N(m, t^2) under an N(0, 1) prior and a likelihood of precision 1 / t^2 - 1."""
    precision, centre, mu = 1 / t**2 - 1, 1.3, 0.4

    def log_likelihood(z):
        return -0.5 * precision * (z - centre).square().sum(-1)

    def of(estimator):
        return variances(estimator, log_likelihood, mu, s, StandardNormal(1))[0]

    total, analytic = of(Reparameterized(kl="sampled")), of(Reparameterized(kl="analytic"))
    landing = of(StickingTheLanding())
    assert total == pytest.approx(s**2 / t**4, rel=1e-6)
    assert analytic == pytest.approx(precision**2 * s**2, rel=1e-6)
    assert landing == pytest.approx((1 / s - s / t**2) ** 2, rel=1e-6, abs=1e-9)
    assert (landing > total) == (s**2 < t**2 / 2)


def test_of_the_score_function_at_the_posterior():
    """There the log-weight is log p(x) whatever z is: the variance is (log p(x))^2 / s^2."""
    t, centre = 0.5, 1.3
    precision = 1 / t**2 - 1
    mean = precision * centre * t**2
    log_evidence = -0.5 * precision * centre**2 * t**2 + math.log(t)  # of the unnormalised likelihood

    def log_likelihood(z):
        return -0.5 * precision * (z - centre).square().sum(-1)

    found = variances(ScoreFunction(kl="sampled"), log_likelihood, mean, t, StandardNormal(1))[0]
    assert found == pytest.approx(log_evidence**2 / t**2, rel=1e-6)


class LearnedMean(Prior):
    """N(mu, I) with mu learned."""

    def __init__(self, dims):
        super().__init__()
        self.mean = nn.Parameter(torch.randn(dims))

    def log_prob(self, z):
        return -0.5 * (z - self.mean).square().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)


class FixedScale(Gaussian):
    """N(mean, (2/3) I): the encoder gives the mean alone."""

    def __init__(self, dims):
        super().__init__(dims)
        self.outputs = {"mean": dims}

    def forward(self, mean):
        return super().forward(torch.cat([mean, torch.full_like(mean, math.log(2 / 3))], dim=-1))


def toy_of_rainforth(dims=20, number=256):
    """The toy of Rainforth et al. (2018), each parameter 0.01 away from its optimum."""
    torch.manual_seed(0)
    prior = LearnedMean(dims)
    x = prior.mean.detach() + math.sqrt(2) * torch.randn(number, dims)
    vae = VAE(Linear((dims,), (dims,)), nn.Identity(), FixedScale(dims), FixedGaussian(1.0), prior, dims)
    layer = vae.encoder.layers[0]
    with torch.no_grad():
        layer.weight.copy_(torch.eye(dims) / 2 + 0.01 * torch.randn(dims, dims))
        layer.bias.copy_(x.mean(0) / 2 + 0.01 * torch.randn(dims))
        prior.mean.copy_(x.mean(0) + 0.01 * torch.randn(dims))
    return vae, Batch(x, torch.arange(number))


@pytest.fixture(scope="module")
def toy_moments():
    """Mean and standard deviation of the gradients for b and mu by estimator and K."""
    vae, batch = toy_of_rainforth()
    wanted = [vae.encoder.layers[0].bias, vae.prior.mean]
    found = {}
    for samples, replicates in ((1, 100), (10, 2000), (30, 800), (100, 300), (1000, 60)):
        draws = {make: [] for make in (IWAE, DReG, STLIWAE)}
        for replicate in range(replicates):
            generator = torch.Generator().manual_seed(1000 * samples + replicate)
            eps = torch.randn(samples, *batch.x.shape, generator=generator)
            for make, gradients in draws.items():
                surrogate = make(samples)(vae, batch, {"posterior": eps}).surrogate.mean()
                gradients.append(torch.stack(torch.autograd.grad(surrogate, wanted)))
        for make, gradients in draws.items():
            all_of_them = torch.stack(gradients).double()
            found[make, samples] = all_of_them.mean(0), all_of_them.std(0)
    return found


def slope(values):
    samples = [10, 30, 100, 1000]
    return np.polyfit(np.log(samples), np.log([values[k] for k in samples]), 1)[0]


@pytest.mark.slow
def test_signal_to_noise_ratios_against_the_number_of_samples(toy_moments):
    """Rainforth et al. (2018), theorem 1, and Tucker et al. (2019): the mean is DReG's throughout."""
    phi, theta, var = {IWAE: {}, DReG: {}}, {}, {IWAE: {}, DReG: {}}
    for make, samples in toy_moments:
        mean = toy_moments[DReG, samples][0]
        std = toy_moments[make, samples][1]
        if make is not STLIWAE:
            phi[make][samples] = (mean[0].abs() / std[0]).mean().item()
            var[make][samples] = std[0].square().mean().item()
        if make is DReG:
            theta[samples] = (mean[1].abs() / std[1]).mean().item()
    assert slope(phi[IWAE]) == pytest.approx(-0.5, abs=0.08)
    assert slope(phi[DReG]) == pytest.approx(0.5, abs=0.08)
    assert slope(theta) == pytest.approx(0.5, abs=0.08)
    assert slope(var[IWAE]) == pytest.approx(-1, abs=0.16)
    assert slope(var[DReG]) == pytest.approx(-3, abs=0.16)


@pytest.mark.slow
def test_sticking_the_landing_points_the_wrong_way_for_many_samples(toy_moments):
    """Its bias is about 0.57 K times the gradient; for one sample it is DReG."""
    for samples in (1, 10, 100, 1000):
        exact, biased = (toy_moments[make, samples][0][0] for make in (DReG, STLIWAE))
        relative = ((biased - exact).norm() / exact.norm()).item()
        assert relative == pytest.approx(0.57 * samples if samples > 1 else 0, rel=0.15, abs=1e-4)


def normal(samples, number, dims, seed=0):
    generator = np.random.Generator(np.random.Philox(seed))
    return torch.as_tensor(generator.standard_normal((samples, number, dims)))
