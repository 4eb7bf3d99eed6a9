import pytest
import torch
from conftest import exact_elbo, gaussian_batch, linear_gaussian_vae

from vae_lab.estimators import Autoencoder, Reparameterized, ScoreFunction
from vae_lab.likelihoods import Bernoulli
from vae_lab.networks import MLP
from vae_lab.noise import NoiseSource
from vae_lab.posteriors import Gaussian
from vae_lab.priors import StandardNormal
from vae_lab.priors.base import Prior
from vae_lab.vae import VAE, Batch

KLS = ["analytic", "sampled", "entropy"]
UNBIASED = {
    f"{name}-{kl}": make(kl)
    for kl in KLS
    for name, make in {
        "reparameterized": lambda kl: Reparameterized(kl=kl),
        "reparameterized-k3-beta": lambda kl: Reparameterized(num_samples=3, kl=kl, beta=2.5),
        "score_function": lambda kl: ScoreFunction(kl=kl),
        "score_function-leave_one_out": lambda kl: ScoreFunction("leave_one_out", num_samples=4, kl=kl),
        "score_function-beta": lambda kl: ScoreFunction("leave_one_out", num_samples=4, kl=kl, beta=0.5),
    }.items()
}


def estimate(estimator, vae, batch, step=0, seed=0):
    noise = NoiseSource(seed).training(
        estimator.noise_spec(vae, batch),
        purpose="train",
        step=step,
        batch_size=len(batch.x),
        dtype=batch.x.dtype,
    )
    return estimator(vae, batch, noise)


def gradient(vae, values):
    gradients = torch.autograd.grad(values.mean(), list(vae.parameters()))
    return torch.cat([part.flatten() for part in gradients])


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_gradient_is_that_of_the_exact_bound(name):
    estimator, vae = UNBIASED[name], linear_gaussian_vae()
    copies = 2000  # data that are all the same give as many independent estimates in one call
    one = gaussian_batch(size=1)
    batch = Batch(one.x.expand(copies, -1), torch.arange(copies))
    exact = gradient(vae, exact_elbo(vae, one, estimator.beta))
    means = []
    for step in range(50):
        means.append(gradient(vae, estimate(estimator, vae, batch, step).surrogate))
    means = torch.stack(means)
    standard_error = means.std(0) / len(means) ** 0.5
    assert ((means.mean(0) - exact).abs() <= 4 * standard_error + 1e-12).all()


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_bound_is_the_exact_bound(name):
    estimator, vae = UNBIASED[name], linear_gaussian_vae()
    one = gaussian_batch(size=1)
    batch = Batch(one.x.expand(100_000, -1), torch.arange(100_000))
    bound = estimate(estimator, vae, batch).bound
    standard_error = bound.std() / len(bound) ** 0.5
    assert abs(bound.mean() - exact_elbo(vae, one, estimator.beta).item()) < 4 * standard_error


@pytest.mark.parametrize("name", UNBIASED)
def test_terms_are_consistent(name):
    estimator, vae, batch = UNBIASED[name], linear_gaussian_vae(), gaussian_batch()
    result = estimate(estimator, vae, batch)
    terms = result.terms
    assert torch.allclose(terms["elbo"], terms["reconstruction"] - terms["kl"])
    assert torch.allclose(result.bound, terms["reconstruction"] - estimator.beta * terms["kl"])
    assert result.surrogate.shape == result.bound.shape == (len(batch.x),)
    assert not any(term.requires_grad for term in [result.bound, *terms.values()])


@pytest.mark.parametrize("name", UNBIASED)
def test_the_objective_per_datum_does_not_depend_on_the_batch(name):
    estimator, vae, batch = UNBIASED[name], linear_gaussian_vae(), gaussian_batch(size=6)
    noise = NoiseSource(0).training(
        estimator.noise_spec(vae, batch), purpose="train", step=0, batch_size=6, dtype=torch.float64
    )
    together = estimator(vae, batch, noise)
    part = Batch(batch.x[:2], batch.indices[:2])
    apart = estimator(vae, part, {key: value[:, :2] for key, value in noise.items()})
    assert torch.allclose(together.surrogate[:2], apart.surrogate)
    assert torch.allclose(together.bound[:2], apart.bound)


@pytest.mark.parametrize("latent_dim", [2, 200])
def test_beta_weighs_the_kl_summed_over_latent_dimensions(latent_dim):
    vae, batch = linear_gaussian_vae(latent_dim=latent_dim), gaussian_batch()
    bounds = [estimate(Reparameterized(beta=beta), vae, batch).bound for beta in (0.0, 1.0, 3.0)]
    kl = vae.encode(batch).kl(vae.prior).sum(-1)
    assert torch.allclose(bounds[0] - bounds[1], kl)
    assert torch.allclose(bounds[1] - bounds[2], 2 * kl)


def test_pathwise_has_far_less_variance_than_the_score_function():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=1)
    variances = []
    for estimator in (Reparameterized(), ScoreFunction()):
        draws = [gradient(vae, estimate(estimator, vae, batch, step).surrogate) for step in range(500)]
        variances.append(torch.stack(draws).var(0).sum())
    assert variances[0] < variances[1] / 5


def test_autoencoder_reconstructs_from_the_mean_without_a_kl_term():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    result = estimate(Autoencoder(), vae, batch)
    expected = vae.decode(vae.encode(batch).mean.unsqueeze(0)).log_prob(batch.x)[0]
    assert torch.allclose(result.surrogate, expected)
    assert set(result.terms) == {"reconstruction"}
    gradients = torch.autograd.grad(result.surrogate.mean(), vae.encoder.layers[0].weight)[0]
    assert (gradients[vae.latent_dim :] == 0).all()  # the log-variances play no part


def test_estimators_work_on_images_with_every_kl():
    q = Gaussian(3)
    vae = VAE(
        MLP((1, 8, 8), (6,), [16]),
        MLP((3,), (1, 8, 8), [16]),
        q,
        Bernoulli(),
        StandardNormal(3),
        latent_dim=3,
    )
    batch = Batch(torch.rand(5, 1, 8, 8).round(), torch.arange(5))
    for estimator in UNBIASED.values():
        gradients = gradient(vae, estimate(estimator, vae, batch).surrogate)
        assert gradients.isfinite().all()
        assert gradients.abs().sum() > 0


def test_a_prior_without_a_closed_kl_is_refused():
    class Other(Prior):
        pass

    vae = linear_gaussian_vae()
    vae.prior = Other()
    with pytest.raises(
        ValueError, match="kl=analytic has no closed form from Gaussian to Other; use kl=sampled"
    ):
        Reparameterized(kl="analytic").check(vae)
    Reparameterized(kl="sampled").check(vae)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reparameterized(num_samples=0), "num_samples must be at least 1, got 0"),
        (lambda: Reparameterized(beta=-1), "beta must not be negative, got -1"),
        (
            lambda: ScoreFunction("leave_one_out"),
            "num_samples must be at least 2 for baseline=leave_one_out, got 1",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
