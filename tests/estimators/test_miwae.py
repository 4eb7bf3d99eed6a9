"""Learning from data that miss pixels."""

import math

import numpy as np
import pytest
import torch
from conftest import only, result
from scipy import stats

from vae_lab.applications.generate.nearest import nearest_data
from vae_lab.checks.cases import gaussian_batch, linear_gaussian_vae, nonlinear_vae
from vae_lab.datasets import Digits
from vae_lab.estimators import IWAE, MIWAE
from vae_lab.inference.importance_sampling import importance_weighted_log_likelihood
from vae_lab.models.likelihoods import Beta, Categorical, ContinuousBernoulli, DiscretizedLogistic, Gaussian
from vae_lab.models.networks import MLP, PerDatum
from vae_lab.models.observed import of_observed
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource
from vae_lab.training.compatibility import check_needs
from vae_lab.training.offer import Offer

MISSING = torch.tensor([False, True, False, True])
QUICK = ["logger=none", "trainer.progress=false"]


def estimate(vae, batch, num_samples=5, step=0, estimator=MIWAE):
    made = estimator(num_samples)
    noise = NoiseSource(0).training(
        made.noise_spec(vae, batch), purpose="test", step=step, batch_size=len(batch.x), dtype=batch.x.dtype
    )
    return made(vae, batch, noise)


def gradient(vae, values):
    return torch.cat([part.flatten() for part in torch.autograd.grad(values.mean(), list(vae.parameters()))])


def without(batch):
    return batch._replace(x=batch.x.masked_fill(MISSING.reshape(batch.x.shape[1:]), torch.nan))


def with_exact_posterior_of_the_observed():
    """A linear-Gaussian VAE with one latent dimension, whose q is the posterior of what is observed."""
    vae = linear_gaussian_vae(latent_dim=1)
    weight, bias = (each.detach() for each in (vae.decoder.layers[0].weight, vae.decoder.layers[0].bias))
    variance = math.exp(2 * vae.likelihood.log_scale.item())
    seen = (~MISSING).double()
    covariance = 1 / (1 + (weight[:, 0].square() * seen).sum() / variance)
    gain = covariance * weight[:, 0] * seen / variance
    with torch.no_grad():
        vae.encoder.layers[0].weight.copy_(torch.stack([gain, torch.zeros(4).double()]))
        vae.encoder.layers[0].bias.copy_(torch.stack([-gain @ bias, covariance.log()]))
    return vae


def log_p_observed(vae, x):
    """log p(x_obs) of a linear-Gaussian VAE, `(B,)`."""
    weight, bias = vae.decoder.layers[0].weight[~MISSING], vae.decoder.layers[0].bias[~MISSING]
    variance = math.exp(2 * vae.likelihood.log_scale.item())
    covariance = weight @ weight.T + variance * torch.eye(len(bias), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(bias, covariance).log_prob(x[:, ~MISSING])


def elbo_of_observed(vae, batch):
    """The bound on log p(x_obs) of a linear-Gaussian VAE in closed form, `(B,)`."""
    q = vae.encode(batch._replace(x=batch.x.nan_to_num(0)))
    weight, bias = vae.decoder.layers[0].weight[~MISSING], vae.decoder.layers[0].bias[~MISSING]
    variance = math.exp(2 * vae.likelihood.log_scale.item())
    residual = batch.x[:, ~MISSING] - q.mean @ weight.T - bias
    expected = residual.square().sum(-1) + (2 * q.log_scale).exp() @ weight.square().sum(0)
    constant = len(bias) * math.log(2 * math.pi * variance)
    return -0.5 * (expected / variance + constant) - q.kl(vae.prior).sum(-1)


@pytest.mark.parametrize("num_samples", [1, 7])
def test_with_the_exact_posterior_the_bound_is_log_p_of_what_is_observed(num_samples):
    vae, batch = with_exact_posterior_of_the_observed(), without(gaussian_batch(size=6))
    found = estimate(vae, batch, num_samples)
    exact = log_p_observed(vae, batch.x)
    assert torch.allclose(found.bound, exact, atol=1e-10)
    assert torch.allclose(found.terms["elbo"], exact, atol=1e-10)
    weighted = importance_weighted_log_likelihood(of_observed(vae), batch, NoiseSource(0), num_samples)
    assert torch.allclose(weighted, exact, atol=1e-10)


@pytest.mark.parametrize("make", [linear_gaussian_vae, nonlinear_vae])
def test_the_bound_rises_with_the_number_of_samples(make):
    vae = make()
    x = gaussian_batch(size=1).x if make is linear_gaussian_vae else torch.ones(1, 1, 2, 2).double()
    batch = without(Batch(x.expand(20_000, *x.shape[1:]), torch.arange(20_000)))
    bounds = [estimate(vae, batch, number, step=number).bound.detach() for number in (1, 3, 10, 50)]
    for lower, higher in zip(bounds[:-1], bounds[1:], strict=True):
        standard_error = ((lower.var() + higher.var()) / 20_000).sqrt()
        assert higher.mean() - lower.mean() > -4 * standard_error
    standard_error = ((bounds[0].var() + bounds[-1].var()) / 20_000).sqrt()
    assert bounds[-1].mean() - bounds[0].mean() > 10 * standard_error


@pytest.mark.parametrize("make", [linear_gaussian_vae, nonlinear_vae])
def test_with_nothing_missing_it_is_iwae(make):
    vae = make()
    batch = gaussian_batch()
    if make is nonlinear_vae:
        batch = Batch(torch.eye(4).double().reshape(4, 1, 2, 2), torch.arange(4))
    expected, found = estimate(vae, batch, estimator=IWAE), estimate(vae, batch)
    assert torch.equal(found.surrogate, expected.surrogate)
    assert torch.equal(gradient(vae, found.surrogate), gradient(vae, expected.surrogate))


def test_the_mean_gradient_is_that_of_the_exact_bound_of_what_is_observed():
    vae, batch = linear_gaussian_vae(), without(gaussian_batch(size=1))
    exact = gradient(vae, elbo_of_observed(vae, batch))
    copies = Batch(batch.x.expand(2000, -1), torch.arange(2000))
    means = torch.stack([gradient(vae, estimate(vae, copies, 1, step).surrogate) for step in range(40)])
    quantile = stats.t.isf(0.001 / (2 * len(exact)), 39)  # all coordinates together err once in 1,000
    assert ((means.mean(0) - exact).abs() <= quantile * means.std(0) / 40**0.5 + 1e-12).all()
    rows = vae.decoder.layers[0].weight
    (of_rows,) = torch.autograd.grad(estimate(vae, batch).surrogate.mean(), rows)
    assert (of_rows[MISSING] == 0).all()
    assert (of_rows[~MISSING] != 0).any()


@pytest.mark.parametrize(
    "likelihood",
    [Beta(), Categorical(3), ContinuousBernoulli(), DiscretizedLogistic(3), Gaussian()],
    ids=lambda family: type(family).__name__,
)
def test_no_gradient_is_nan(likelihood):
    vae, shape = nonlinear_vae(), (1, 2, 2)
    decoder = MLP((2,), (likelihood.num_outputs, 2, 2), [5]).double()
    model = VAE(vae.encoder, decoder, vae.posterior, likelihood.double(), vae.prior, 2)
    batch = without(Batch(torch.full((3, *shape), 0.5).double(), torch.arange(3)))
    assert gradient(model, estimate(model, batch).surrogate).isfinite().all()


def test_a_table_of_posteriors_cannot_serve():
    vae = linear_gaussian_vae()
    with pytest.raises(ValueError, match="needs an amortised encoder, and model/encoder=per_datum"):
        check_needs(MIWAE(), Offer.of(vae.with_encoder(PerDatum((5,), (4,)))))


@pytest.mark.parametrize("binarize", ["dynamic", "fixed", "threshold", "none"])
def test_a_dataset_misses_the_same_pixels_each_time(binarize):
    first, second = (Digits(binarize=binarize, missing=0.4) for _ in range(2))
    second.seed = 1
    for part in ("train", "validation"):
        a, b = (getattr(each.data, part).x for each in (first, second))
        assert torch.equal(a.isnan(), b.isnan())
        share = 0.4
        assert a.isnan().double().mean().item() == pytest.approx(
            share, abs=4 * (share * (1 - share) / a.numel()) ** 0.5
        )
        assert not torch.equal(a[0].isnan(), a[1].isnan())
        measured = first.measured_part(part).x
        assert torch.equal(measured.isnan(), a.isnan())
        seen = measured[~measured.isnan()]
        assert ((seen == 0) | (seen == 1)).all() == (binarize != "none")
        complete = getattr(Digits(binarize=binarize).data, part).x
        assert torch.equal(torch.where(a.isnan(), a, complete).nan_to_num(-1), a.nan_to_num(-1))
    assert not first.data.test.x.isnan().any()
    assert not torch.equal(first.data.train.x[:200].isnan(), first.data.validation.x.isnan())
    other = Digits(binarize=binarize, missing=0.4, split_seed=1).data.train.x
    assert not torch.equal(other.isnan(), first.data.train.x.isnan())


def test_what_is_drawn_anew_at_every_step_stays_missing():
    data = Digits(missing=0.4)
    x = data.data.train.x[:50]
    assert data.redraw is not None
    drawn = data.redraw(x, torch.rand(x.shape, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(drawn.isnan(), x.isnan())
    assert set(drawn[~drawn.isnan()].unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("missing", [-0.1, 1.0, math.nan])
def test_a_share_that_cannot_be(missing):
    with pytest.raises(ValueError, match="missing must be a share of at least 0 and below 1, got"):
        Digits(missing=missing)


def test_the_nearest_of_incomplete_data():
    x = torch.tensor([[0.0, torch.nan], [3.0, 4.0]])
    found = nearest_data(torch.tensor([[1.0, 9.0], [3.0, 4.0]]), x)
    assert found.numbers.tolist() == [0, 1]
    assert found.distances.tolist() == pytest.approx([2**0.5, 0.0])


def test_a_training_on_half_of_the_pixels_imputes_better_than_the_mean(vae_lab, tmp_path):
    words = [
        "estimator=miwae",
        "dataset.missing=0.5",
        "trainer.max_samples=60000",
        "evaluation.train_curve=100",
    ]
    process = vae_lab("train", *words, *QUICK)
    assert process.returncode == 0, process.stderr
    assert "bounds of data that miss pixels are those of the observed ones alone" in process.stdout
    run = only(tmp_path / "outputs" / "runs")
    metrics = result(run)["metrics"]
    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["validation/importance_weighted_bound"] > 0.7 * metrics["test/importance_weighted_bound"]
    assert {"reconstructions.png", "prior_samples.png"} <= {path.name for path in (run / "figures").iterdir()}
    process = vae_lab("impute", f"run={run.name}", "missing=0.5", "logger=none", "importance_samples=100")
    assert process.returncode == 0, process.stderr
    found = result(only(tmp_path / "outputs" / "impute"))["metrics"]
    for name in ("importance_weighted", "metropolis_within_gibbs", "pseudo_gibbs"):
        assert found[f"rmse/{name}"] < found["rmse/mean"] - 4 * found["standard_error/rmse/mean"]
    process = vae_lab("impute", f"run={run.name}", "missing=top", "data=validation", "logger=none", "steps=5")
    assert process.returncode == 0, process.stderr
    words = ["split=validation", "logger=none", "measures.importance_samples=[20]", "measures.gap=5"]
    process = vae_lab("evaluate", f"run={run.name}", *words)
    assert process.returncode == 0, process.stderr
    evaluated = result(only(tmp_path / "outputs" / "evaluate"))["metrics"]
    assert all(math.isfinite(value) for value in evaluated.values())
    assert "validation/bits_per_dimension" not in evaluated  # of what number of pixels?


def test_it_continues_as_if_it_had_never_stopped(vae_lab, tmp_path):
    words = ["train", "estimator=miwae", "dataset.missing=0.3", *QUICK]
    for budget in (["trainer.max_samples=1000"], ["trainer.max_samples=2000"]):
        assert vae_lab(*words, *budget).returncode == 0
    assert vae_lab(*words, "trainer.max_samples=2000", "output_dir=once").returncode == 0
    found = {
        name: result(path)["metrics"]
        for name in ("outputs", "once")
        for path in (tmp_path / name / "runs").iterdir()
        if result(path)["metrics"]["samples"] == 2000
    }
    assert found["outputs"] == found["once"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["estimator=iwae"],
        ["estimator=dreg"],
        ["model=pixelcnn", "estimator=maximum_likelihood", "evaluation=exact"],
        ["model=ppca", "dataset.binarize=none"],
    ],
)
def test_whatever_needs_complete_data_names_what_does_not(vae_lab, tmp_path, words):
    process = vae_lab("train", "dataset.missing=0.5", *words, "logger=none")
    assert process.returncode == 1
    said = " ".join(process.stderr.split())
    assert "needs complete data, and these data miss pixels (dataset.missing, or values that are" in said
    assert "estimator=miwae" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("outputs/runs/*"))


def test_an_array_of_a_user(vae_lab, tmp_path):
    generator = np.random.default_rng(0)
    x = generator.standard_normal((300, 1)) @ np.ones((1, 6)) + 0.3 * generator.standard_normal((300, 6))
    x[generator.random(x.shape) < 0.2] = np.nan
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    words = ["train", "dataset=array", "dataset.path=x.npy", "model/likelihood=gaussian", *QUICK]
    refused = vae_lab(*words)
    assert refused.returncode == 1
    assert "use estimator=miwae" in " ".join(refused.stderr.split())
    process = vae_lab(*words, "estimator=miwae", "trainer.max_samples=3000", "dataset.batch_size=50")
    assert process.returncode == 0, process.stderr
    run = only(tmp_path / "outputs" / "runs")
    assert all(math.isfinite(value) for value in result(run)["metrics"].values())
    process = vae_lab("impute", f"run={run.name}", "missing=0.3", "logger=none", "steps=10")
    assert process.returncode == 0, process.stderr
    found = result(only(tmp_path / "outputs" / "impute"))["metrics"]
    assert all(math.isfinite(value) for value in found.values())
    x[0, 0] = np.inf
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    infinite = vae_lab(*words, "estimator=miwae")
    assert infinite.returncode == 1
    assert "dataset.path: the data have values that are infinite." in " ".join(infinite.stderr.split())
