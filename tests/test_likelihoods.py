import math

import pytest
import torch
from torch import distributions as td

from vae_lab.likelihoods import Bernoulli, FixedGaussian, Gaussian, ScalarGaussian

SHAPE = (2, 3, 3)  # (C, H, W)
REFERENCES = {
    "bernoulli": (Bernoulli(), lambda o: td.Bernoulli(logits=o)),
    "fixed_gaussian": (FixedGaussian(std=0.3), lambda o: td.Normal(o, 0.3)),
    "scalar_gaussian": (ScalarGaussian(initial_std=2.0), lambda o: td.Normal(o, 2.0)),
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
    outputs = 3 * torch.randn(4, 5, channels, *SHAPE[1:], generator=generator, dtype=torch.float64)
    return family.double(), outputs, reference(outputs)


def data(family):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(5, *SHAPE, generator=generator, dtype=torch.float64)
    return x.round() if isinstance(family, Bernoulli) else 4 * x - 2


def test_log_prob_is_the_sum_over_pixels_of_torch(case):
    family, outputs, reference = case
    x = data(family)
    expected = reference.log_prob(x.expand(4, 5, *SHAPE)).sum((2, 3, 4))
    assert torch.allclose(family(outputs).log_prob(x), expected, rtol=1e-6)


def test_mean_is_that_of_torch(case):
    family, outputs, reference = case
    assert torch.allclose(family(outputs).mean, reference.mean)


def test_the_density_integrates_to_one(case):
    family, outputs, _ = case
    pixel = family(outputs[:1, :1, :, :1, :1])  # one datum of C channels
    if isinstance(family, Bernoulli):
        values = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 2)
        cell = 1.0
    else:
        line = torch.linspace(-40, 40, 1601, dtype=torch.float64)
        values, cell = torch.cartesian_prod(line, line), (80 / 1600) ** 2
    total = 0.0
    for chunk in values.split(100_000):
        x = chunk.reshape(-1, 2, 1, 1)
        total += float(pixel.log_prob(x).detach().exp().sum()) * cell
    assert total == pytest.approx(1, abs=1e-6)


def test_samples_have_the_mean(case):
    family, outputs, reference = case
    noise = torch.randn if family.noise_law == "normal" else torch.rand
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
