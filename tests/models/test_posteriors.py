from functools import partial

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from vae_lab.models.posteriors import FixedGaussian, Gaussian, IsotropicGaussian
from vae_lab.models.priors import StandardNormal

FAMILIES = [Gaussian, partial(Gaussian, scale="log_std"), IsotropicGaussian, partial(FixedGaussian, std=0.8)]
LATENT_DIM, BATCH = 3, 4


def conditional(family):
    q = family(LATENT_DIM)
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(BATCH, q.num_outputs, generator=generator, dtype=torch.float64)
    return q(outputs.requires_grad_()), outputs


def reference(q):
    return Independent(Normal(q.mean, q.log_scale.exp()), 1)


@pytest.fixture(params=FAMILIES)
def q(request):
    return conditional(request.param)[0]


def test_log_prob_is_that_of_torch(q):
    z = torch.randn(5, BATCH, LATENT_DIM, dtype=torch.float64)
    assert torch.allclose(q.log_prob(z), reference(q).log_prob(z))


def test_entropy_is_that_of_torch(q):
    assert torch.allclose(q.entropy(), reference(q).entropy())


def test_kl_is_that_of_torch_and_of_monte_carlo(q):
    kl = q.kl(StandardNormal(LATENT_DIM)).sum(-1)
    standard = Independent(Normal(torch.zeros_like(q.mean), 1), 1)
    assert torch.allclose(kl, kl_divergence(reference(q), standard))
    z = q.transform(torch.randn(50_000, BATCH, LATENT_DIM, dtype=torch.float64))
    samples = q.log_prob(z) - StandardNormal(LATENT_DIM).log_prob(z)
    standard_error = samples.std(0) / len(samples) ** 0.5
    assert ((samples.mean(0) - kl).abs() < 4 * standard_error).all()


def test_transform_maps_noise_to_the_distribution(q):
    z = q.transform(torch.randn(100_000, BATCH, LATENT_DIM, dtype=torch.float64))
    standard_error = q.log_scale.exp() / len(z) ** 0.5
    assert ((z.mean(0) - q.mean).abs() < 4.5 * standard_error).all()
    assert torch.allclose(z.std(0), q.log_scale.exp(), rtol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_the_outputs_unless_detached(family):
    q, outputs = conditional(family)
    q.transform(torch.randn(1, BATCH, LATENT_DIM, dtype=torch.float64)).square().sum().backward()
    assert outputs.grad is not None
    assert outputs.grad.abs().sum() > 0
    assert not q.detach().mean.requires_grad


def test_isotropic_has_one_variance():
    q, _ = conditional(IsotropicGaussian)
    assert (q.log_scale == q.log_scale[:, :1]).all()


def test_fixed_has_the_variance_that_is_given():
    q, _ = conditional(partial(FixedGaussian, std=0.8))
    assert torch.allclose(q.log_scale.exp(), torch.full_like(q.mean, 0.8))
    with pytest.raises(ValueError, match="std must be above 0, got 0"):
        FixedGaussian(3, std=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_bad_latent_dim(family):
    with pytest.raises(ValueError, match="latent_dim must be at least 1, got 0"):
        family(0)


def test_the_prior_is_standard_normal():
    z = torch.randn(5, BATCH, LATENT_DIM, dtype=torch.float64)
    standard = Independent(Normal(torch.zeros(LATENT_DIM, dtype=torch.float64), 1), 1)
    assert torch.allclose(StandardNormal(LATENT_DIM).log_prob(z), standard.log_prob(z))
