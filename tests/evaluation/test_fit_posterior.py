"""q(z|x) without amortisation, and what amortisation costs."""

import json

import pytest
import torch
from conftest import exact_log_likelihood, posterior
from test_estimators import UNBIASED

from vae_lab.checks.cases import exact_elbo, gaussian_batch, linear_gaussian_vae
from vae_lab.checks.mean_gradient import estimate
from vae_lab.datasets import PPCA
from vae_lab.estimators import Reparameterized
from vae_lab.evaluation.fit_posterior import FitPosterior, Fitted
from vae_lab.models.networks import PerDatum
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource
from vae_lab.training.evaluation import Evaluation


def best_bound(vae, batch):
    """The highest bound that a diagonal Gaussian q reaches on a linear-Gaussian model, `(B,)`.

    Its mean is the posterior's, its precisions are the diagonal of the posterior's precision, and the gap is
    KL(q || p(z|x)) = (sum_d log P_dd - log det P) / 2.
    """
    _, covariance = posterior(vae, batch)
    precision = torch.linalg.inv(covariance)
    gap = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    return exact_log_likelihood(vae, batch) - gap


@torch.no_grad()
@pytest.mark.parametrize("amortized", [True, False])
def test_the_fit_reaches_the_best_bound_of_its_family(amortized):
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=40)
    start = vae if amortized else vae.with_encoder(PerDatum((1,), (4,)).double())
    fitted = FitPosterior()(start, batch, NoiseSource(0), "test")
    reached = exact_elbo(fitted, batch)
    assert (reached <= best_bound(vae, batch) + 1e-9).all()
    short = best_bound(vae, batch) - reached
    assert short.mean() < 0.01
    assert short.max() < 0.03


@torch.no_grad()
@pytest.mark.parametrize("scale", [3.0, 30.0])
def test_the_fit_finds_narrow_posteriors(scale):
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=40)
    vae.decoder.layers[0].weight.mul_(scale)
    _, covariance = posterior(vae, batch)
    assert covariance.diagonal().sqrt().min() < 1 / scale
    table = vae.with_encoder(PerDatum((1,), (4,)).double())
    reached = exact_elbo(FitPosterior()(table, batch, NoiseSource(0), "test"), batch)
    short = best_bound(vae, batch) - reached
    assert short.mean() < 0.03


@torch.no_grad()
def test_the_amortization_gap_is_that_of_the_closed_forms():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=300)
    evaluation = Evaluation(amortization_gap=True, importance_samples=None)
    terms = evaluation.at_the_end(vae, Reparameterized(num_samples=50), batch, NoiseSource(0))
    exact = best_bound(vae, batch) - exact_elbo(vae, batch)
    assert exact.min() > 0
    assert terms["amortization_gap"].mean() == pytest.approx(exact.mean().item(), rel=0.02)


@torch.no_grad()
def test_a_datum_has_its_fit_in_any_batch_and_order():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=300)
    fit = FitPosterior(num_steps=20)
    whole = fit(vae, batch, NoiseSource(0), "test").encode(batch).mean
    some = torch.tensor([299, 4, 120])
    part = Batch(batch.x[some], some)
    assert torch.allclose(fit(vae, part, NoiseSource(0), "test").encode(part).mean, whole[some])


def test_rows_are_found_by_the_numbers_of_the_data():
    rows = torch.arange(6.0).reshape(3, 2)
    fitted = Fitted(torch.tensor([30, 10, 20]), rows)
    assert torch.equal(fitted(torch.tensor([10, 30])), rows[[1, 0]])


@pytest.mark.parametrize("name", UNBIASED)
def test_every_estimator_trains_the_rows_of_its_batch_and_no_others(name):
    table = PerDatum((5,), (4,)).double()
    vae = linear_gaussian_vae().with_encoder(table)
    batch = Batch(gaussian_batch(size=2).x, torch.tensor([3, 1]))
    estimator = UNBIASED[name]()
    estimator.prepare(vae, (4,), 5)
    estimate(estimator.double(), vae, batch).surrogate.sum().backward()
    touched = table.rows.grad.abs().sum(-1) > 0
    assert touched.tolist() == [False, True, False, True, False]


def test_a_model_with_the_table_shares_everything_else():
    vae = linear_gaussian_vae()
    other = vae.with_encoder(PerDatum((5,), (4,)))
    assert other.decoder is vae.decoder
    assert vae.is_amortized
    assert other.has_encoder
    assert not other.is_amortized


@pytest.mark.slow
def test_a_table_reaches_the_best_bound_of_ppca_on_new_data(vae_lab, tmp_path):
    process = vae_lab(
        "train", "dataset=ppca", "model=linear", "model/encoder=per_datum", "optimizer=adagrad",
        "optimizer.lr=0.1", "trainer.max_epochs=300", "trainer.evaluate_at=end", "logger=none",
        "hydra.run.dir=run",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    exact = PPCA()
    maximum = float(exact.log_prob(exact.data.test.x).mean())
    assert metrics["test/elbo"] == pytest.approx(maximum, abs=0.5)
    assert metrics["test/elbo"] < metrics["test/log_likelihood"] + 0.1
    assert (tmp_path / "run" / "figures" / "reconstructions.png").is_file()
