"""Bayesian logistic regression: a model beside the VAE that the same estimators serve."""

import itertools
import json

import numpy as np
import pytest
import torch
from conftest import built
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logsumexp

from vae_lab.datasets import BreastCancer
from vae_lab.errors import UserError
from vae_lab.estimators import Reparameterized
from vae_lab.inference.annealed import AnnealedImportanceSampling, annealed_log_likelihood
from vae_lab.inference.importance_sampling import importance_weighted_log_likelihood
from vae_lab.models.likelihoods import LogisticRegression
from vae_lab.models.networks import Constant, Identity
from vae_lab.models.posteriors import FullGaussian, Gaussian
from vae_lab.models.priors import StandardNormal
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource
from vae_lab.probe import Probe


def table(columns=None):
    """The data, or some of their features with the label, in float64."""
    x = BreastCancer(rows=None).data.train.x.double()
    return x if columns is None else x[..., [*columns, -1]]


def regression(x, posterior, values):
    """The model of one table with the posterior's outputs at `values`."""
    features = x.shape[-1] - 1
    q, likelihood = posterior(features), LogisticRegression(x.shape[1:])
    encoder, decoder = Constant(x.shape[1:], (q.num_outputs,)), Identity((features,), (features,))
    vae = VAE(encoder, decoder, q, likelihood, StandardNormal(features), features).double()
    with torch.no_grad():
        vae.encoder.values.copy_(torch.as_tensor(values))
    return vae, Batch(x, torch.arange(1))


def test_the_mean_over_all_minibatches_is_the_whole():
    x = table([0, 1, 2])[:, 100:106]
    w = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    likelihood = LogisticRegression(x.shape[1:])

    def log_prob(some):
        return likelihood(w.expand(1, 1, 3)).log_prob(some).squeeze()

    parts = torch.stack([log_prob(x[:, list(rows)]) for rows in itertools.combinations(range(6), 2)])
    whole = log_prob(x)
    assert parts.mean().item() == pytest.approx(whole.item(), rel=1e-12)
    gradients = [torch.autograd.grad(each, w, retain_graph=True)[0] for each in (parts.mean(), whole)]
    assert torch.allclose(*gradients, rtol=1e-12)


def test_the_bound_of_a_given_q():
    """a'w is Gaussian under q, so that each row's expectation is an integral over one number."""
    x = table()
    generator = np.random.default_rng(0)
    mean, log_std = 0.3 * generator.standard_normal(31), -1 + 0.3 * generator.standard_normal(31)
    vae, batch = regression(x, lambda dims: Gaussian(dims, "log_std"), np.concatenate([mean, log_std]))
    features, signs = x[0, :, :-1].numpy(), 2 * x[0, :, -1].numpy() - 1
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = np.sqrt(features**2 @ np.exp(2 * log_std))
    margins = signs[:, None] * (features @ mean)[:, None] + spread[:, None] * nodes
    expected = (log_expit(margins) @ weights).sum() / np.sqrt(2 * np.pi)
    expected -= 0.5 * (np.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum()
    samples = 4000
    estimator = Reparameterized(num_samples=samples)
    eps = NoiseSource(0).training(
        estimator.noise_spec(vae, batch), purpose="test", step=0, batch_size=1, dtype=torch.float64
    )
    with torch.no_grad():
        found = estimator(vae, batch, eps).terms["elbo"].item()
        values = vae.decode(vae.encode(batch).transform(eps["posterior"])).log_prob(x)
    assert abs(found - expected) < 4 * values.std().item() / samples**0.5


def laplace(x, size=20_000):
    """log p(x) by importance samples of the Gaussian at the mode, its error, and that Gaussian."""
    signed = (x[0, :, :-1] * (2 * x[0, :, -1:] - 1)).numpy()
    dims = signed.shape[1]

    def negative(w):
        return 0.5 * w @ w - log_expit(signed @ w).sum(), w - signed.T @ expit(-signed @ w)

    mode = minimize(negative, np.zeros(dims), jac=True, tol=1e-10).x
    curvature = expit(signed @ mode) * expit(-signed @ mode)
    covariance = np.linalg.inv(np.eye(dims) + (signed.T * curvature) @ signed)
    root = np.linalg.cholesky(covariance)
    eps = np.random.default_rng(1).standard_normal((size, dims))
    w = mode + eps @ root.T
    log_joint = log_expit(w @ signed.T).sum(1) - 0.5 * (w**2).sum(1)
    log_weights = log_joint + 0.5 * (eps**2).sum(1) + np.log(np.diag(root)).sum()
    log_evidence = logsumexp(log_weights) - np.log(size)
    error = np.exp(log_weights - log_evidence).std() / size**0.5
    return log_evidence, error, mode, root


def test_the_evidence_by_three_ways():
    """Importance samples of q, annealing from the prior, and Laplace's Gaussian in numpy."""
    x = table([0, 1, 6, 30])
    expected, error, mode, root = laplace(x)
    std = np.linalg.norm(root, axis=1)
    vae, batch = regression(x, lambda dims: Gaussian(dims, "log_std"), np.append(mode, np.log(1.2 * std)))
    noise = NoiseSource(0)
    weighted = importance_weighted_log_likelihood(vae, batch, noise, 20_000).item()
    assert error < 0.01
    assert weighted == pytest.approx(expected, abs=0.1)
    settings = AnnealedImportanceSampling(num_temperatures=300, num_chains=16, num_leapfrog=5)
    found = annealed_log_likelihood(vae, batch, noise, settings)
    assert set(found) == {"log_likelihood_ais"}  # a table cannot be drawn
    term = found["log_likelihood_ais"]
    assert abs(term.values.item() - expected) < 4 * (term.variances.item() + error**2) ** 0.5
    assert term.variances.item() < 0.1


def test_the_evidence_of_all_features():
    """With the covariance of Laplace's Gaussian in q, importance sampling is precise in 31 dimensions."""
    x = table()
    expected, error, mode, root = laplace(x)
    outputs = [mode, np.log(np.diag(root)), root[np.tril_indices(31, k=-1)]]
    vae, batch = regression(x, FullGaussian, np.concatenate(outputs))
    found = importance_weighted_log_likelihood(vae, batch, NoiseSource(0), 20_000).item()
    assert error < 0.03
    assert abs(found - expected) < 5 * 2**0.5 * error


def test_accuracy_is_that_of_the_averaged_prediction():
    x = torch.tensor([[[1.0, 1.0], [1.0, 0.0], [-1.0, 0.0]]])
    weights = torch.tensor([5.0, -1.0]).reshape(2, 1, 1)  # sure of the one, half sure of the other
    measures = LogisticRegression((3, 2)).measures(weights, x)
    assert measures["accuracy"].tolist() == pytest.approx([2 / 3])


def test_the_probe_measures_one_table():
    vae, batch = regression(table([0, 1]), Gaussian, np.zeros(4))
    with pytest.raises(ValueError, match="batch_size must be at least 2, got 1; or set minibatch=false"):
        Probe(vae, batch, NoiseSource(0))
    rows = Probe(vae, batch, NoiseSource(0), 40, minibatch=False).measure({"pathwise": Reparameterized()})
    assert {row.group for row in rows} >= {"outputs.mean", "encoder"}
    assert all(row.trace > 0 for row in rows)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["model=logistic_regression"],
            r"model.likelihood: needs a table of features and labels, and the data have the shape "
            r"\(1, 8, 8\); use model=logistic_regression dataset=breast_cancer.",
        ),
        (
            ["dataset=breast_cancer"],
            r"model.likelihood: Bernoulli describes pixels, and the data are a table of shape \(569, 32\); "
            "use model=logistic_regression.",
        ),
        (
            ["dataset=breast_cancer", "model=ppca"],
            "model: the data are a table .* use model=logistic_regression",
        ),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "model.latent_dim=8"],
            "model.decoder: needs as many outputs as inputs, got 31 and 8; use model.latent_dim=31",
        ),
        (["dataset=breast_cancer", "dataset.rows=0"], "dataset.rows must be at least 1 and at most 569"),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "estimator=miwae"],
            "estimator: needs a likelihood of pixels, and LogisticRegression is none; use estimator=iwae",
        ),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "estimator=nvil"],
            "estimator: needs whole data, and a training step sees dataset.rows alone",
        ),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "estimator=lax"],
            "estimator: needs whole data, .* dataset.rows=null",
        ),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "model/encoder=mlp"],
            "model.encoder: needs the whole datum, .* use model/encoder=constant or dataset.rows",
        ),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "estimator=wake_sleep"],
            "estimator: .*LogisticRegression",
        ),
        (
            ["dataset=breast_cancer", "model=logistic_regression", "model.encoder.initial=[0,0,0]"],
            r"model.encoder.initial must hold one value for each of equal parts of 62 outputs",
        ),
    ],
)
def test_what_does_not_fit_is_refused(overrides, message):
    with pytest.raises(UserError, match=message):
        built("logger=none", *overrides)


def test_as_a_user_types_it(vae_lab, tmp_path):
    process = vae_lab(
        *["train", "dataset=breast_cancer", "model=logistic_regression", "logger=none"],
        *["trainer.max_samples=200", "trainer.evaluate_at=end", "optimizer.lr=0.05"],
    )
    assert process.returncode == 0, process.stderr
    assert "share of the labels that are predicted" in process.stdout
    (path,) = tmp_path.glob("outputs/runs/*/metrics.json")
    result = json.loads(path.read_text())
    metrics = result["metrics"]
    assert metrics["test/accuracy"] > 0.95
    assert -200 < metrics["test/elbo"] < metrics["test/log_likelihood"] < -40
    assert "test/active_units" not in metrics  # nothing varies over one datum
    assert result["notes"] == []
    assert [figure.name for figure in path.parent.glob("figures/*.png")] == ["learning_curve.png"]
    refused = vae_lab("generate", f"run={path.parent}", "logger=none")
    assert refused.returncode == 1
    assert (
        "generate is for models of pixels, and LogisticRegression describes none; use vae-lab"
        in refused.stderr
    )
    measured = vae_lab(
        *["evaluate", f"run={path.parent}", "logger=none", "measures=annealed", "measures.gap=0"],
        *["measures.importance_samples=[500]", "measures.annealed.num_temperatures=20"],
    )
    assert measured.returncode == 0, measured.stderr
    assert "log_likelihood_ais" in measured.stdout
