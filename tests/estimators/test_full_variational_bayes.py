"""A distribution over the decoder's weights, on models whose evidence is known."""

import math

import pytest
import torch
from torch import nn

from vae_lab.checks.cases import gaussian_batch, linear_gaussian_vae
from vae_lab.estimators import FullVariationalBayes, Reparameterized
from vae_lab.models.likelihoods import FixedGaussian
from vae_lab.models.networks import Linear
from vae_lab.models.posteriors import Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource
from vae_lab.training.compatibility import check_needs
from vae_lab.training.offer import Offer

STD = 0.7


class Constant(nn.Module):
    """A decoder that ignores z and gives its one parameter."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def forward(self, z):
        return self.value.expand(len(z), 1)


def constant_vae():
    """p(x|b) = N(b, v), so that p(X) with b ~ N(0, 1) and the posterior of b are Gaussian."""
    q = Gaussian(1)
    vae = VAE(Linear((1,), (2,)), Constant(), q, FixedGaussian(STD), StandardNormal(1), 1).double()
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.zero_()  # q(z|x) is the prior, as is the posterior
    return vae


def call(estimator, vae, batch, step):
    noise = NoiseSource(0).training(
        estimator.noise_spec(vae, batch),
        purpose="train", step=step, batch_size=len(batch.x), dtype=torch.float64,
    )  # fmt: skip
    return estimator(vae, batch, noise)


def prepared(vae, dataset_size, **settings):
    estimator = FullVariationalBayes(**settings)
    check_needs(estimator, Offer.of(vae))
    estimator.prepare(vae, (1,), dataset_size)
    return estimator.double()


def test_it_finds_the_posterior_of_a_weight_and_the_evidence_of_all_data():
    vae, size = constant_vae(), 20
    x = 1.0 + STD * torch.randn(size, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.arange(size))
    estimator = prepared(vae, size, initial_std=0.5)
    optimizer = torch.optim.Adam([vae.decoder.value, estimator.log_std], lr=0.05)
    for step in range(3000):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 3000)
        optimizer.zero_grad()
        (-call(estimator, vae, batch, step).surrogate.mean()).backward()
        optimizer.step()
    variance = STD**2 / (size + STD**2)
    assert vae.decoder.value.item() == pytest.approx(x.sum().item() * variance / STD**2, abs=0.01)
    assert estimator.log_std.exp().item() == pytest.approx(math.sqrt(variance), rel=0.05)
    covariance = STD**2 * torch.eye(size, dtype=torch.float64) + 1
    evidence = torch.distributions.MultivariateNormal(torch.zeros_like(x[:, 0]), covariance).log_prob(x[:, 0])
    with torch.no_grad():
        bounds = [call(estimator, vae, batch, step).bound.mean() for step in range(10_000, 14_000)]
    values = size * torch.stack(bounds)
    assert values.mean() == pytest.approx(evidence.item(), abs=0.01 + 4 * values.std().item() / 4000**0.5)


def test_the_kl_term_of_the_weights_is_that_of_torch():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    estimator = prepared(vae, 10, initial_std=0.2)
    means = nn.utils.parameters_to_vector(vae.decoder.parameters())
    q = torch.distributions.Normal(means, estimator.log_std.exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum() / 10
    estimate = call(estimator, vae, batch, 0)
    assert torch.allclose(estimate.terms["weights_kl"], expected.detach().expand(3))
    elbo = estimate.terms["reconstruction"] - estimate.terms["kl"]
    assert torch.allclose(estimate.bound, elbo - expected.detach())


def test_without_uncertainty_it_is_the_bound_of_the_means():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    estimator = prepared(vae, 10, initial_std=1e-9)
    estimate = call(estimator, vae, batch, 0)
    plain = call(Reparameterized(), vae, batch, 0)
    assert torch.allclose(estimate.terms["elbo"], plain.terms["elbo"])


def test_a_datum_has_its_value_in_any_batch():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=5)
    estimator = prepared(vae, 5, initial_std=0.3)

    def evaluated(part):
        spec = estimator.noise_spec(vae, part)
        noise = NoiseSource(0).evaluation(spec, purpose="test", indices=part.indices, dtype=torch.float64)
        return estimator(vae, part, noise).terms["elbo"]

    assert torch.allclose(evaluated(batch)[3:], evaluated(Batch(batch.x[3:], batch.indices[3:])))


def test_the_processes_of_a_run_share_the_weights():
    spec = {"weights": FullVariationalBayes().noise_spec(linear_gaussian_vae(), gaussian_batch())["weights"]}
    draws = [
        NoiseSource(0).training(spec, purpose="train", step=3, batch_size=2, rank=rank, world_size=2)
        for rank in (0, 1)
    ]
    assert torch.equal(draws[0]["weights"], draws[1]["weights"])
    assert draws[0]["weights"].shape == (1, 1, 12)


def test_evaluation_averages_over_weights():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    estimator = prepared(vae, 10, initial_std=0.3).eval()
    spec = estimator.noise_spec(vae, batch)
    noise = NoiseSource(0).evaluation(spec, purpose="test", indices=batch.indices, dtype=torch.float64)
    together = estimator(vae, batch, noise).terms["elbo"]
    alone = [
        estimator(vae, batch, noise | {"weights": noise["weights"][draw : draw + 1]}).terms["elbo"]
        for draw in range(len(noise["weights"]))
    ]
    assert len(alone) > 1
    assert torch.allclose(together, torch.stack(alone).mean(0))


def test_settings_out_of_range():
    with pytest.raises(ValueError, match=r"initial_std must be above 0, got 0\."):
        FullVariationalBayes(initial_std=0)
