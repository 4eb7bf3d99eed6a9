import math

import pytest
import torch
from conftest import exact_log_likelihood

from vae_lab.checks.cases import exact_elbo, gaussian_batch, linear_gaussian_vae
from vae_lab.evaluation.active_units import ActiveUnits
from vae_lab.inference import importance_sampling
from vae_lab.inference.importance_sampling import importance_weighted_log_likelihood
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource


def set_true_posterior(vae):
    """Sets the encoder to the posterior of a linear-Gaussian model whose W has orthogonal columns."""
    decoder, encoder = vae.decoder.layers[0], vae.encoder.layers[0]
    variance = (2 * vae.likelihood.log_scale).exp().item()
    with torch.no_grad():
        decoder.weight.copy_(torch.linalg.qr(decoder.weight)[0] * torch.tensor([2.0, 0.7]))
        precision = decoder.weight.square().sum(0) / variance + 1
        gain = decoder.weight.T / variance / precision[:, None]
        encoder.weight[:2], encoder.bias[:2] = gain, -gain @ decoder.bias
        encoder.weight[2:], encoder.bias[2:] = 0, -precision.log()


def test_at_the_true_posterior_the_bound_is_the_log_likelihood():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=20)
    set_true_posterior(vae)
    exact = exact_log_likelihood(vae, batch)
    assert torch.allclose(exact_elbo(vae, batch), exact)
    one_sample = importance_weighted_log_likelihood(vae, batch, NoiseSource(0), num_samples=1)
    assert torch.allclose(one_sample, exact)  # every weight is p(x)


def test_the_importance_weighted_bound_tightens_towards_the_log_likelihood():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=200)
    set_true_posterior(vae)
    with torch.no_grad():
        vae.encoder.layers[0].bias += 0.4  # near the posterior, not on it
    exact = exact_log_likelihood(vae, batch).mean()
    bounds = [
        importance_weighted_log_likelihood(vae, batch, NoiseSource(0), k).mean() for k in (1, 10, 100, 1000)
    ]
    assert bounds[0] < bounds[1] < bounds[2] < bounds[3]
    assert bounds[3] == pytest.approx(exact.item(), abs=0.01)


def test_the_estimate_is_unbiased_for_the_likelihood_itself():
    vae, one = linear_gaussian_vae(), gaussian_batch(size=1)
    batch = Batch(one.x.expand(20_000, -1), torch.arange(20_000))
    ratio = (
        importance_weighted_log_likelihood(vae, batch, NoiseSource(0), 7) - exact_log_likelihood(vae, one)
    ).exp()
    standard_error = ratio.std() / len(ratio) ** 0.5
    assert abs(ratio.mean() - 1) < 4 * standard_error


def test_neither_chunk_nor_batch_changes_a_datum(monkeypatch):
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=30)
    whole = importance_weighted_log_likelihood(vae, batch, NoiseSource(0), 120)
    monkeypatch.setattr(importance_sampling, "CHUNK_ROWS", 150)
    assert torch.allclose(
        importance_weighted_log_likelihood(vae, batch, NoiseSource(0), 120), whole, rtol=1e-12
    )
    part = Batch(batch.x[7:9], batch.indices[7:9])
    assert torch.allclose(
        importance_weighted_log_likelihood(vae, part, NoiseSource(0), 120), whole[7:9], rtol=1e-12
    )


def test_exactly_k_samples_are_used():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=1)
    source = NoiseSource(0)
    k_51, k_52 = (importance_weighted_log_likelihood(vae, batch, source, k) + math.log(k) for k in (51, 52))
    assert k_52 > k_51  # one more term in the sum


def test_bad_number_of_samples():
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        importance_weighted_log_likelihood(linear_gaussian_vae(), gaussian_batch(), NoiseSource(0), 0)


def test_active_units_sum_over_processes():
    means = torch.stack([torch.linspace(-1, 1, 50), torch.full((50,), 3.0), 0.05 * torch.randn(50)], dim=1)
    whole, first, second = (ActiveUnits(3) for _ in range(3))
    whole.add(means, means)
    first.add(means[:20], means[:20])
    second.add(means[20:], means[20:])
    assert whole.count(whole.sums) == first.count(first.sums + second.sums) == 1
