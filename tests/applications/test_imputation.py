"""Imputation where p(x_miss|x_obs) is known, and the masks."""

import math

import pytest
import torch
from conftest import exact_log_likelihood

from vae_lab.applications.impute.baselines import by_nearest_neighbours, mean_of
from vae_lab.applications.impute.gibbs import metropolis_within_gibbs, pseudo_gibbs
from vae_lab.applications.impute.held_out import held_out_log_likelihood
from vae_lab.applications.impute.importance_weighted import importance_weighted
from vae_lab.applications.impute.scores import ratio_of_sums, root_mean_square_error, share_of_wrong
from vae_lab.checks.cases import gaussian_batch, hierarchical_vae, linear_gaussian_vae, nonlinear_vae
from vae_lab.datasets.missing import at_random, half
from vae_lab.models.observed import Reconstructed, filled, of_observed
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource

MISSING = torch.tensor([False, True, True, False])
COPIES = 4000  # of one datum, whose imputations are as many independent ones
SAMPLES = 300


def moments(vae):
    """Mean and covariance of p(x)."""
    weight, bias = vae.decoder.layers[0].weight.detach(), vae.decoder.layers[0].bias.detach()
    variance = (2 * vae.likelihood.log_scale).exp().double()
    return bias, weight @ weight.T + variance * torch.eye(len(bias), dtype=torch.float64)


def conditional(vae, x):
    """Mean and covariance of p(x_miss|x_obs) for one datum, by the formula for Gaussians."""
    mean, covariance = moments(vae)
    o, m = ~MISSING, MISSING
    gain = covariance[m][:, o] @ torch.linalg.inv(covariance[o][:, o])
    return mean[m] + gain @ (x[o] - mean[o]), covariance[m][:, m] - gain @ covariance[o][:, m]


def log_p_observed(vae, x):
    """log p(x_obs) of data `(B, 4)`."""
    mean, covariance = moments(vae)
    o = ~MISSING
    return torch.distributions.MultivariateNormal(mean[o], covariance[o][:, o]).log_prob(x[:, o])


def with_exact_posterior():
    """A linear-Gaussian VAE with orthogonal columns, whose posterior is diagonal and is q."""
    vae = linear_gaussian_vae()
    decoder, encoder = vae.decoder.layers[0], vae.encoder.layers[0]
    variance = math.exp(2 * vae.likelihood.log_scale.item())
    with torch.no_grad():
        decoder.weight.copy_(torch.linalg.qr(decoder.weight)[0] * torch.tensor([1.5, 0.8]))
        covariance = 1 / (1 + decoder.weight.square().sum(0) / variance)
        gain = covariance.unsqueeze(1) * decoder.weight.T / variance
        encoder.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        encoder.bias.copy_(torch.cat([-gain @ decoder.bias, covariance.log()]))
    return vae


def with_prior_as_posterior():
    """The same model with a q(z|x) that does not look at x."""
    vae = with_exact_posterior()
    with torch.no_grad():
        for parameter in vae.encoder.parameters():
            parameter.zero_()
    return vae


def incomplete(copies=COPIES):
    x = gaussian_batch(size=1).x.expand(copies, -1)
    return Batch(x.masked_fill(MISSING, torch.nan), torch.arange(copies))


def by_importance(vae, batch, noise=0):
    return importance_weighted(vae, batch, 0.0, NoiseSource(noise), SAMPLES, 1)


def by_metropolis(vae, batch, noise=0):
    return metropolis_within_gibbs(vae, batch, 0.0, NoiseSource(noise), 80, 1)


def by_pseudo_gibbs(vae, batch, noise=0):
    return pseudo_gibbs(vae, batch, 0.0, NoiseSource(noise), 60, 1)


METHODS = {
    "importance_weighted": (by_importance, linear_gaussian_vae),
    "importance_weighted-prior": (by_importance, with_prior_as_posterior),
    "metropolis_within_gibbs": (by_metropolis, linear_gaussian_vae),
    "metropolis_within_gibbs-prior": (by_metropolis, with_prior_as_posterior),
    "pseudo_gibbs": (by_pseudo_gibbs, with_exact_posterior),
}


def distance(draws, mean, covariance):
    """The largest deviation of the draws' means and products `(N, 2)` from theirs, in standard errors."""
    centred = draws - mean
    products = torch.stack([centred[:, i] * centred[:, j] for i, j in ((0, 0), (0, 1), (1, 1))], dim=1)
    expected = torch.stack([covariance[0, 0], covariance[0, 1], covariance[1, 1]])
    found = torch.cat([centred, products - expected], dim=1)
    return (found.mean(0).abs() / (found.std(0) / len(draws) ** 0.5)).max().item()


@pytest.mark.parametrize("name", METHODS)
def test_draws_have_the_conditional_mean_and_covariance(name):
    impute, make = METHODS[name]
    vae, batch = make(), incomplete()
    draws = impute(vae, batch).draws[0]
    assert distance(draws[:, MISSING], *conditional(vae, gaussian_batch(size=1).x[0])) < 4
    assert torch.equal(draws[:, ~MISSING], batch.x[:, ~MISSING])


@pytest.mark.parametrize("name", METHODS)
def test_the_mean_is_the_conditional_one(name):
    impute, make = METHODS[name]
    vae, batch = make(), incomplete(1000)
    means = impute(vae, batch).mean[:, MISSING]
    expected, covariance = conditional(vae, gaussian_batch(size=1).x[0])
    standard_error = means.std(0) / len(means) ** 0.5
    bias = covariance.diagonal().sqrt() / SAMPLES  # what self-normalising costs, in standard deviations
    assert ((means.mean(0) - expected).abs() < 4 * standard_error + bias).all()
    assert (means.std(0) < 0.5 * covariance.diagonal().sqrt()).all()  # more than one draw


def test_pseudo_gibbs_is_off_where_q_is_not_the_posterior():
    vae = with_prior_as_posterior()
    draws = by_pseudo_gibbs(vae, incomplete()).draws[0]
    assert distance(draws[:, MISSING], *conditional(vae, gaussian_batch(size=1).x[0])) > 10


def test_the_error_converges_to_that_of_the_conditional_mean():
    vae, generator = with_exact_posterior(), torch.Generator().manual_seed(0)
    mean, covariance = moments(vae)
    root = torch.linalg.cholesky(covariance)
    x = mean + torch.randn(300, 4, generator=generator, dtype=torch.float64) @ root.T
    batch = Batch(x.masked_fill(MISSING, torch.nan), torch.arange(300))
    missing = MISSING.expand(300, -1)
    best = x.clone()
    for datum in best:
        datum[MISSING] = conditional(vae, datum)[0]
    exact = root_mean_square_error(best, x, missing).value
    errors, distances = [], []
    for number in (10, 100, 4000):
        imputed = importance_weighted(vae, batch, 0.0, NoiseSource(0), number, 1)
        errors.append(root_mean_square_error(imputed.mean, x, missing).value)
        distances.append((imputed.mean - best).square().mean().sqrt().item())
    assert distances[2] < distances[1] / 3 < distances[0] / 6  # as one over the root of their number
    cross = 2 * exact * distances[2] / (2 * 300) ** 0.5  # standard error of the product of the two errors
    assert errors[2] ** 2 == pytest.approx(exact**2 + distances[2] ** 2, abs=4 * cross)
    assert distances[2] < 0.05 * exact


@pytest.mark.parametrize("fill", ["zeros", "means", "reconstructions"])
def test_the_held_out_log_likelihood_is_the_exact_one_whatever_the_encoder_sees(fill):
    vae, batch = with_exact_posterior(), gaussian_batch(size=8)
    exact = (exact_log_likelihood(vae, batch) - log_p_observed(vae, batch.x)).detach()
    missing = MISSING.expand(8, -1)
    means = moments(vae)[0]
    seen = {"zeros": 0.0, "means": means, "reconstructions": Reconstructed(vae, means)}[fill]
    found = torch.stack(
        [
            held_out_log_likelihood(vae, batch, missing, seen, NoiseSource(seed), 2000).log_likelihood
            for seed in range(12)
        ]
    )
    standard_error = found.std(0) / 12**0.5
    assert ((found.mean(0) - exact).abs() < 4 * standard_error + 0.005).all()  # that of a finite K
    assert found.std(0).max() < 0.3


def test_nothing_depends_on_the_true_values_on_the_batch_or_on_other_imputations():
    vae, batch = (
        nonlinear_vae(),
        Batch(torch.eye(4, dtype=torch.float64).reshape(4, 1, 2, 2), torch.arange(4)),
    )
    missing = at_random(0.5, (1, 2, 2), NoiseSource(0), batch.indices)
    seen = Batch(batch.x.masked_fill(missing, torch.nan), batch.indices)
    for impute in (by_importance, by_metropolis, by_pseudo_gibbs):
        together, alone = impute(vae, seen), impute(vae, seen.take(slice(2, 3)))
        assert torch.allclose(together.mean[2:3], alone.mean)
        assert torch.equal(together.draws[:, 2:3], alone.draws)
        assert set(together.draws.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(together.mean[~missing], batch.x[~missing])
        assert not together.mean.isnan().any()


def test_reconstructions_of_a_linear_model_come_to_the_conditional_mean():
    """Their fixed point x_m = W m(x) + b solves the normal equations of the posterior of what is observed."""
    vae, batch = with_exact_posterior(), incomplete(1)
    found = Reconstructed(vae, torch.zeros(4, dtype=torch.float64), steps=200)(batch.x)[0]
    weight, bias = vae.decoder.layers[0].weight[~MISSING], vae.decoder.layers[0].bias[~MISSING]
    variance = math.exp(2 * vae.likelihood.log_scale.item())
    precision = torch.eye(2, dtype=torch.float64) + weight.T @ weight / variance
    z = torch.linalg.solve(precision, weight.T @ (batch.x[0, ~MISSING] - bias) / variance)
    expected = vae.decode(z.reshape(1, 1, 2)).mean[0, 0, MISSING]
    assert torch.allclose(found[MISSING], expected)
    assert torch.allclose(expected, conditional(vae, gaussian_batch(size=1).x[0])[0])
    assert torch.equal(found[~MISSING], batch.x[0, ~MISSING])


def test_a_hierarchy_imputes_too():
    vae = hierarchical_vae()
    x = torch.tensor([[[[1.0, torch.nan], [0.0, torch.nan]]]], dtype=torch.float64).expand(2000, -1, -1, -1)
    batch = Batch(x, torch.arange(2000))
    chain, weighted = by_metropolis(vae, batch).mean.mean(0), by_importance(vae, batch).mean
    standard_error = weighted.std(0) / 2000**0.5
    assert ((chain - weighted.mean(0)).abs() < 8 * standard_error + 0.01).all()


def test_acceptance_is_sure_where_q_is_the_posterior():
    found = by_metropolis(with_exact_posterior(), incomplete(50)).diagnostics["acceptance"]
    assert torch.allclose(found, torch.ones_like(found))
    weighted = by_importance(with_exact_posterior(), Batch(gaussian_batch().x, torch.arange(3)))
    assert torch.allclose(weighted.diagnostics["effective_sample_size"], torch.full((3,), SAMPLES).double())


def test_a_random_mask_depends_on_the_datum_alone():
    masks = at_random(0.3, (3, 5, 5), NoiseSource(1), torch.arange(2000))
    assert torch.equal(masks[[7, 3]], at_random(0.3, (3, 5, 5), NoiseSource(1), torch.tensor([7, 3])))
    assert not torch.equal(masks[0], masks[1])
    assert (masks[:, 0] == masks[:, 2]).all()  # in all channels
    standard_error = (0.3 * 0.7 / (2000 * 25)) ** 0.5
    assert masks.double().mean().item() == pytest.approx(0.3, abs=4 * standard_error)


@pytest.mark.parametrize("share", [1e-9, 1 - 1e-9])
def test_a_random_mask_leaves_and_hides_something(share):
    masks = at_random(share, (6,), NoiseSource(0), torch.arange(200))
    assert masks.any(1).all()
    assert not masks.all(1).any()


def test_halves():
    shape = (2, 5, 4)
    for a, b in (("top", "bottom"), ("left", "right")):
        assert not (half(a, shape) & half(b, shape)).any()
    assert half("top", shape)[:, :2].all()
    assert half("top", shape).sum() == half("bottom", shape).sum() == 2 * 2 * 4
    assert half("right", shape)[:, :, 2:].all()


def test_the_model_of_the_observed_pixels_is_the_model_where_all_are():
    vae, batch = (
        nonlinear_vae(),
        Batch(torch.eye(4, dtype=torch.float64).reshape(4, 1, 2, 2), torch.arange(4)),
    )
    observed, q = of_observed(vae), vae.encode(batch)
    z = q.transform(torch.zeros(1, 4, 2, dtype=torch.float64))
    assert torch.equal(observed.encode(batch).mean, q.mean)
    assert torch.equal(observed.log_joint(batch.x, z), vae.log_joint(batch.x, z))
    without = of_observed(vae).log_joint(torch.full_like(batch.x, torch.nan), z)
    assert torch.allclose(without, vae.prior.log_prob(z))


def test_baselines():
    train = torch.tensor([[0.0, 1.0, torch.nan], [2.0, 3.0, torch.nan], [100.0, 100.0, 6.0]])
    assert mean_of(train).tolist() == pytest.approx([34.0, 104 / 3, 6.0])
    assert mean_of(train[:2]).tolist() == [1.0, 2.0, 1.5]
    x = torch.tensor([[1.0, torch.nan, 5.0]])
    assert by_nearest_neighbours(train, x, neighbours=2).tolist() == [[1.0, 2.0, 5.0]]
    assert filled(x, torch.tensor([7.0, 8.0, 9.0])).tolist() == [[1.0, 8.0, 5.0]]


def test_scores():
    x, missing = torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([[True, False], [True, True]])
    imputed = torch.tensor([[0.6, 0.0], [0.8, 0.4]])
    error = root_mean_square_error(imputed, x, missing)
    assert error.value == pytest.approx(((0.36 + 0.04 + 0.36) / 3) ** 0.5)
    assert share_of_wrong(imputed, x, missing).value == pytest.approx(2 / 3)
    equal = ratio_of_sums(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]))
    assert equal == pytest.approx((1.0, 0.5, 0.0))  # a mean where all denominators are the same


def test_the_standard_error_of_the_error_is_that_of_repeated_data():
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(400):
        x = torch.randn(200, 6, generator=generator, dtype=torch.float64)
        missing = torch.rand(200, 6, generator=generator) < 0.5
        found.append(root_mean_square_error(torch.zeros_like(x), x, missing))
    spread = torch.tensor([each.value for each in found]).std().item()
    stated = sum(each.error for each in found) / len(found)
    assert stated == pytest.approx(spread, rel=4 / (2 * 400) ** 0.5)
