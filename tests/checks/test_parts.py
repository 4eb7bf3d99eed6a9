"""Likelihoods, posteriors, networks and datasets: ours pass, and planted faults are found."""

from dataclasses import dataclass, replace
from functools import partial

import pytest
import torch
from torch import nn

from vae_lab import Split, Splits, datasets
from vae_lab.checks.dataset import check_dataset
from vae_lab.checks.likelihood import check_likelihood
from vae_lab.checks.network import check_network
from vae_lab.checks.posterior import check_posterior
from vae_lab.models import likelihoods, networks, posteriors
from vae_lab.models.likelihoods.gaussian import FixedGaussian, GaussianPixels
from vae_lab.models.posteriors.gaussian import Gaussian
from vae_lab.models.posteriors.logistic import Logistic


def failed(findings):
    return {each.check for each in findings if each.status == "failed"}


LIKELIHOODS = {
    "bernoulli": likelihoods.Bernoulli,
    "beta": likelihoods.Beta,
    "categorical": partial(likelihoods.Categorical, 16),
    "continuous_bernoulli": likelihoods.ContinuousBernoulli,
    "discretized_logistic": likelihoods.DiscretizedLogistic,
    "fixed_gaussian": likelihoods.FixedGaussian,
    "gaussian": likelihoods.Gaussian,
    "scalar_gaussian": likelihoods.ScalarGaussian,
}
POSTERIORS = {
    "bernoulli": posteriors.Bernoulli,
    "categorical": partial(posteriors.Categorical, num_categories=3),
    "cauchy": posteriors.Cauchy,
    "exponential": posteriors.Exponential,
    "full_gaussian": posteriors.FullGaussian,
    "gamma": posteriors.Gamma,
    "gaussian": posteriors.Gaussian,
    "isotropic_gaussian": posteriors.IsotropicGaussian,
    "laplace": posteriors.Laplace,
    "logistic": posteriors.Logistic,
    "student_t": posteriors.StudentT,
    "weibull": posteriors.Weibull,
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_our_likelihoods_pass(name):
    found = list(check_likelihood(LIKELIHOODS[name]))
    assert not failed(found), found
    assert sum(each.status == "passed" for each in found) >= 8


@pytest.mark.parametrize("name", POSTERIORS)
def test_our_posteriors_pass(name):
    found = list(check_posterior(POSTERIORS[name]))
    assert not failed(found), found
    assert sum(each.status == "passed" for each in found) >= 6


@pytest.mark.parametrize("make", [partial(networks.MLP, hidden=[5]), networks.Linear], ids=["mlp", "linear"])
def test_our_networks_pass(make):
    assert not failed(check_network(make))


@pytest.mark.parametrize("make", [datasets.Digits, datasets.PPCA], ids=["digits", "ppca"])
def test_our_datasets_pass(make):
    assert not failed(check_dataset(make))


@dataclass(frozen=True)
class Unnormalised(GaussianPixels):
    def log_prob_per_pixel(self, x):
        return super().log_prob_per_pixel(x) + 0.01


@dataclass(frozen=True)
class Wide(GaussianPixels):
    def sample(self, eps):
        return self.mean + 1.05 * self.log_scale.exp() * eps


@dataclass(frozen=True)
class Shifted(GaussianPixels):
    @property
    def mode(self):
        return self.mean + 0.5


@dataclass(frozen=True)
class Averaged(GaussianPixels):
    def log_prob(self, x):
        return self.log_prob_per_pixel(x).flatten(2).mean(-1)


def family(pixels):
    class Family(FixedGaussian):
        def forward(self, outputs):
            p = super().forward(outputs)
            return pixels(p.mean, p.log_scale)

    return Family


@pytest.mark.parametrize(
    ("pixels", "check"),
    [(Unnormalised, "normalised"), (Wide, "samples"), (Shifted, "mode"), (Averaged, "shapes")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_fault_of_a_likelihood_is_found(pixels, check):
    assert check in failed(check_likelihood(family(pixels)))


class WrongSupport(likelihoods.Bernoulli):
    levels = None


def test_levels_that_are_not_declared():
    assert "normalised" in failed(check_likelihood(WrongSupport))


class WrongEntropy(Logistic):
    standard_entropy = 2.02


class WrongMoment(Logistic):
    second_moment = 3.2


class WrongDensity(Logistic):
    def log_density(self, e):
        return super().log_density(1.03 * e) + 0.0296  # normalised, of another scale


class Cut(Gaussian):
    """A gradient that does not pass through the samples, though that is declared."""

    def forward(self, outputs):
        q = super().forward(outputs)

        class Conditional(type(q)):
            def transform(self, eps):
                return super().transform(eps).detach() + 0 * self.mean

        return Conditional(q.mean, q.log_scale)


class Kept(Gaussian):
    def forward(self, outputs):
        q = super().forward(outputs)

        class Conditional(type(q)):
            def detach(self):
                return replace(self)

        return Conditional(q.mean, q.log_scale)


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (WrongEntropy, "entropy"),
        (WrongMoment, "moments"),
        (WrongMoment, "KL to N(0, I)"),
        (WrongDensity, "samples"),
        (Cut, "gradient through samples"),
        (Kept, "cut from the graph"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_fault_of_a_posterior_is_found(make, check):
    assert check in failed(check_posterior(make))


class Network(nn.Module):
    def __init__(self, in_shape, out_shape):
        super().__init__()
        self.inner = networks.MLP(in_shape, out_shape, hidden=[6])

    def forward(self, x):
        return self.inner(x)


class OfBatch(Network):
    def forward(self, x):
        return self.inner(x - x.mean(0))


class Dropping(Network):
    def forward(self, x):
        return nn.functional.dropout(self.inner(x), 0.5, self.training)


class Unused(Network):
    def __init__(self, in_shape, out_shape):
        super().__init__(in_shape, out_shape)
        self.unused = nn.Linear(2, 2)


class Flat(Network):
    def forward(self, x):
        return super().forward(x).flatten(1)


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (OfBatch, "each datum by itself"),
        (Dropping, "the same again"),
        (Unused, "gradients"),
        (Flat, "shapes"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_fault_of_a_network_is_found(make, check):
    assert not failed(check_network(Network))
    assert check in failed(check_network(make))


class Data(datasets.PPCA):
    def load(self):
        return self.changed(super().load())

    def changed(self, parts):
        return parts


class SameParts(Data):
    def changed(self, parts):
        return parts._replace(test=Split(parts.train.x[:100]))


class Unseeded(Data):
    def changed(self, parts):
        return Splits(*(Split(part.x + 0.1 * torch.randn(part.x.shape)) for part in parts))


class NotFinite(Data):
    def changed(self, parts):
        x = parts.test.x.clone()
        x[3, 1] = torch.nan
        return parts._replace(test=Split(x))


class FewLabels(Data):
    def changed(self, parts):
        return Splits(*(Split(part.x, torch.zeros(len(part.x) - 1)) for part in parts))


@pytest.mark.parametrize(
    ("make", "check"),
    [(SameParts, "parts apart"), (Unseeded, "the same again"), (NotFinite, "values"), (FewLabels, "labels")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_fault_of_a_dataset_is_found(make, check):
    assert check in failed(check_dataset(make))
