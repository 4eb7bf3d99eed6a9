"""HMC against known posteriors, and the marginal likelihood from its samples against exact values."""

import math

import pytest
import torch
from conftest import exact_log_likelihood, posterior

from vae_lab.checks.cases import gaussian_batch, linear_gaussian_vae, nonlinear_vae
from vae_lab.evaluation.marginal_likelihood import MarginalLikelihood
from vae_lab.inference import hmc
from vae_lab.inference.importance_sampling import importance_weighted_log_likelihood
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource

LEAPFROG = 10


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


def run(log_density, z, transitions, adapt_to=None, step=0.3):
    generator = torch.Generator().manual_seed(0)
    chains = hmc.start_chains(log_density, z, torch.full((z.shape[1],), step, dtype=z.dtype))
    positions, acceptances = [], []
    for _ in range(transitions):
        momentum = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        uniform = torch.rand(z.shape[:2], generator=generator, dtype=z.dtype)
        chains, acceptance = hmc.transition(log_density, chains, momentum, uniform, LEAPFROG)
        if adapt_to is not None:
            chains.step_size = hmc.tuned(chains.step_size, acceptance.mean(0), adapt_to)
        positions.append(chains.z)
        acceptances.append(acceptance)
    return chains, torch.stack(positions), torch.stack(acceptances)


def test_posteriors_of_many_data_at_once():
    vae, batch = linear_gaussian_vae(latent_dim=2), gaussian_batch(3)
    with torch.no_grad():
        mean, covariance = posterior(vae, batch)
    start = mean.expand(2000, 3, 2)
    _, positions, _ = run(lambda z: vae.log_joint(batch.x, z), start, transitions=30)
    late = positions[10:].flatten(0, 1)
    assert torch.allclose(late.mean(0), mean, atol=4 * math.sqrt(float(covariance.max()) / 2000))
    for datum in range(3):
        assert torch.allclose(torch.cov(late[:, datum].T), covariance, atol=0.03)


def test_the_step_size_of_each_datum_meets_the_acceptance_asked_for():
    scales = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64)

    def log_density(z):
        return -0.5 * (z / scales.unsqueeze(-1)).square().sum(-1)

    z = scales.unsqueeze(-1) * torch.randn(200, 3, 4, dtype=torch.float64)
    chains, _, _ = run(log_density, z, 400, adapt_to=0.9)
    generator = torch.Generator().manual_seed(1)
    kept = []
    for _ in range(30):
        momentum = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        uniform = torch.rand(z.shape[:2], generator=generator, dtype=z.dtype)
        chains, acceptance = hmc.transition(log_density, chains, momentum, uniform, LEAPFROG)
        kept.append(acceptance.mean(0))
    assert torch.allclose(torch.stack(kept).mean(0), torch.full((3,), 0.9, dtype=torch.float64), atol=0.05)


def test_a_transition_whose_end_is_not_finite_is_rejected():
    def log_density(z):
        return torch.where(z.abs() < 1, 0.0, math.nan).sum(-1) - 0.0 * z.sum(-1)

    z = torch.zeros(50, 1, 1, dtype=torch.float64)
    chains, _, acceptance = run(log_density, z, 1, step=1.0)
    assert chains.z.isfinite().all()
    assert acceptance.isfinite().all()


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_marginal_likelihood_of_a_linear_gaussian_model(latent_dim):
    vae, batch = linear_gaussian_vae(4, latent_dim), gaussian_batch(300)
    estimate = MarginalLikelihood(num_samples=200)(vae, batch, NoiseSource(0))
    error = estimate - exact_log_likelihood(vae, batch)
    assert abs(error.mean()) < 0.02
    assert error.std() < 0.1


def test_the_marginal_likelihood_of_a_nonlinear_model_against_a_grid_and_importance_sampling():
    vae = nonlinear_vae(latent_dim=3)
    x = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]], [[[0.0, 0.0], [0.0, 1.0]]]], dtype=torch.float64)
    batch = Batch(x, torch.arange(2))
    side = torch.linspace(-6, 6, 61, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side, side)
    with torch.no_grad():
        log_joint = torch.cat(
            [vae.log_joint(x, part.unsqueeze(1).expand(-1, 2, 3)) for part in grid.split(20_000)]
        )
    exact = log_joint.logsumexp(0) + 3 * math.log(12 / 60)
    estimate = MarginalLikelihood(num_samples=1000, burn_in=100)(vae, batch, NoiseSource(0))
    sampled = importance_weighted_log_likelihood(vae, batch, NoiseSource(0), 5000)
    assert torch.allclose(estimate, exact, atol=0.05)
    assert torch.allclose(estimate, sampled, atol=0.1)


def test_narrow_posteriors_of_two_modes_are_found():
    vae = linear_gaussian_vae(data_dim=1, latent_dim=1)

    def decoder(z):
        return 40 * z.square()

    vae = vae.with_decoder(Function(decoder))
    batch = Batch(torch.tensor([[40.0], [90.0], [10.0]], dtype=torch.float64), torch.arange(3))
    z = torch.linspace(-5, 5, 200_001, dtype=torch.float64).reshape(-1, 1, 1)
    with torch.no_grad():
        exact = vae.log_joint(batch.x, z.expand(-1, 3, 1)).logsumexp(0) + math.log(10 / 200_000)
    estimate = MarginalLikelihood(num_samples=200, num_chains=20)(vae, batch, NoiseSource(0))
    assert torch.allclose(estimate, exact, atol=0.3)


def test_a_datum_has_its_estimate_in_any_batch():
    vae, batch = linear_gaussian_vae(), gaussian_batch(5)
    of = MarginalLikelihood()
    whole = of(vae, batch, NoiseSource(0))
    part = of(vae, Batch(batch.x[3:], batch.indices[3:]), NoiseSource(0))
    assert torch.allclose(whole[3:], part)


def test_settings_out_of_range_and_too_many_dimensions():
    for settings, message in {
        ("num_samples", 1): "num_samples must be at least 2, got 1.",
        ("num_samples", 52): "num_samples must be a multiple of num_chains, got 52.",
        ("num_leapfrog", 0): "num_leapfrog must be at least 1, got 0.",
        ("acceptance", 1.0): "acceptance must be between 0 and 1, got 1.0.",
    }.items():
        with pytest.raises(ValueError, match=message):
            MarginalLikelihood(**dict([settings]))
    with pytest.warns(UserWarning, match="good below about 5 latent dimensions, and this model has 11"):
        MarginalLikelihood()(linear_gaussian_vae(12, 11), gaussian_batch(2, 12), NoiseSource(0))
