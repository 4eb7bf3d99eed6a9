"""Monte Carlo EM: its gradient, its chains, and where it ends."""

import json
import math

import pytest
import torch
from conftest import exact_log_likelihood, posterior
from sklearn.decomposition import PCA

from vae_lab.checks.cases import gaussian_batch, linear_gaussian_vae, nonlinear_vae
from vae_lab.datasets import PPCA
from vae_lab.datasets.batches import TrainingBatches
from vae_lab.estimators import MonteCarloEM
from vae_lab.models.networks import NoEncoder
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource
from vae_lab.training.checkpoint import load_checkpoint
from vae_lab.training.compatibility import check_needs
from vae_lab.training.offer import Offer

MCEM = ["estimator=monte_carlo_em", "model/encoder=none", "evaluation=marginal_likelihood", "logger=none"]


def without_encoder(vae):
    return vae.with_encoder(NoEncoder((1,), (1,)))


def prepared(vae, dataset_size, **settings):
    estimator = MonteCarloEM(**settings)
    check_needs(estimator, Offer.of(vae))
    estimator.prepare(vae, (4,), dataset_size)
    return estimator.double()


def visit(estimator, vae, batch, step):
    noise = NoiseSource(0).training(
        estimator.noise_spec(vae, batch),
        purpose="train",
        step=step,
        batch_size=len(batch.x),
        dtype=batch.x.dtype,
    )
    estimate = estimator(vae, batch, noise)
    estimator.keep(batch.indices, estimate.state)
    return estimate


def test_with_chains_at_the_posterior_the_gradient_is_that_of_the_log_likelihood():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=1)
    with torch.no_grad():
        mean, covariance = posterior(vae, batch)
    many = Batch(batch.x.expand(4000, -1), torch.arange(4000))
    estimator = prepared(without_encoder(vae), 4000)
    draws = torch.randn(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    estimator.z[0] = mean + draws @ torch.linalg.cholesky(covariance).T
    estimator.begun.fill_(True)
    surrogate = visit(estimator, without_encoder(vae), many, step=0).surrogate
    parameters = vae.generative_parameters()
    exact = torch.autograd.grad(exact_log_likelihood(vae, batch).sum(), parameters)
    blocks = surrogate.unflatten(0, (100, 40)).mean(1)
    of_blocks = [torch.autograd.grad(value, parameters, retain_graph=True) for value in blocks]
    for index, expected in enumerate(exact):
        gradients = torch.stack([each[index] for each in of_blocks])
        standard_error = gradients.std(0) / math.sqrt(len(of_blocks))
        assert ((gradients.mean(0) - expected).abs() < 4.5 * standard_error).all()


def test_the_chains_of_all_data_come_to_their_posteriors():
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=6)
    alone = without_encoder(vae)
    estimator = prepared(alone, 6, num_samples=400, updates_per_batch=1)
    kept = []
    for step in range(200):
        visit(estimator, alone, batch, step)
        if step >= 100:
            kept.append(estimator.z.clone())
    samples = torch.cat(kept)
    with torch.no_grad():
        mean, covariance = posterior(vae, batch)
    assert torch.allclose(samples.mean(0), mean, atol=0.05)
    for datum in range(6):
        assert torch.allclose(torch.cov(samples[:, datum].T), covariance, atol=0.05)


def test_the_step_size_comes_to_the_acceptance_asked_for():
    vae = without_encoder(nonlinear_vae())
    images = torch.rand(50, 1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).round()
    estimator = prepared(vae, 50, updates_per_batch=1)
    acceptances = []
    for step in range(600):
        noise = NoiseSource(0).training(
            estimator.noise_spec(vae, Batch(images, torch.arange(50))),
            purpose="train", step=step, batch_size=50, dtype=torch.float64,
        )  # fmt: skip
        estimate = estimator(vae, Batch(images, torch.arange(50)), noise)
        estimator.keep(torch.arange(50), estimate.state)
        acceptances.append(float(estimate.state["acceptance"].mean()))
    assert sum(acceptances[300:]) / 300 == pytest.approx(0.9, abs=0.01)


def test_samples_are_drawn_once_for_each_batch_and_chains_persist():
    vae = without_encoder(linear_gaussian_vae())
    x = gaussian_batch(size=6).x
    estimator = prepared(vae, 6, updates_per_batch=3)
    batches = list(TrainingBatches(x, 2, num_steps=18, first_step=0, seed=0, updates_per_batch=3))
    for number in range(0, 18, 3):
        assert len({tuple(batch.indices.tolist()) for batch in batches[number : number + 3]}) == 1
    positions = []
    for step, batch in enumerate(batches):
        visit(estimator, vae, batch, step)
        positions.append(estimator.z[:, batch.indices].clone())
    for number in range(0, 18, 3):
        assert torch.equal(positions[number], positions[number + 2])
    assert estimator.begun.all()
    before = estimator.z.clone()
    visit(estimator, vae, batches[0], 18)
    moved = (estimator.z != before).any(-1)[0].nonzero().flatten().tolist()
    assert set(moved) <= set(batches[0].indices.tolist())


def test_a_datum_that_a_batch_holds_twice_keeps_the_first():
    vae = without_encoder(linear_gaussian_vae())
    estimator = prepared(vae, 6)
    estimator.keep(
        torch.tensor([4, 1, 4]),
        {
            "z": torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]], dtype=torch.float64),
            "acceptance": torch.ones(1, 3),
        },
    )
    assert estimator.z[0, [4, 1]].tolist() == [[1.0, 1.0], [2.0, 2.0]]
    assert estimator.begun.tolist() == [False, True, False, False, True, False]


def test_settings_out_of_range():
    for settings, message in {
        ("num_samples", 0): "num_samples must be at least 1, got 0.",
        ("num_leapfrog", 0): "num_leapfrog must be at least 1, got 0.",
        ("updates_per_batch", 0): "updates_per_batch must be at least 1, got 0.",
        ("acceptance", 0.0): "acceptance must be between 0 and 1, got 0.0.",
    }.items():
        with pytest.raises(ValueError, match=message):
            MonteCarloEM(**dict([settings]))
    with pytest.raises(ValueError, match="use model/encoder=none"):
        check_needs(MonteCarloEM(), Offer.of(linear_gaussian_vae()))


@pytest.mark.slow
def test_it_reaches_the_maximum_likelihood_of_ppca(vae_lab, tmp_path):
    process = vae_lab(
        "train", *MCEM, "dataset=ppca", "model=linear", "optimizer=adagrad", "optimizer.lr=0.05",
        "trainer.max_epochs=300", "trainer.evaluate_at=end", "hydra.run.dir=run",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    data = PPCA().data
    maximum = PCA(n_components=3).fit(data.train.x.numpy()).score(data.test.x.numpy())
    assert metrics["test/log_likelihood_hmc"] == pytest.approx(maximum, abs=0.05)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_it_runs_in_other_precisions(vae_lab, precision):
    process = vae_lab(
        "train", *MCEM, f"trainer.precision={precision}", "trainer.max_samples=1000", "model.latent_dim=2",
        "evaluation.marginal_likelihood.num_data=20",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "from posterior samples by HMC" in process.stdout


@pytest.mark.slow
def test_an_interrupted_run_continues_with_its_chains(vae_lab, tmp_path):
    settings = ["train", *MCEM, "trainer.evaluate_at=end", "model.latent_dim=2"]
    for folder, budgets in {"whole": [4000], "parts": [1700, 4000]}.items():
        for budget in budgets:  # 17 steps end within the five of a batch
            process = vae_lab(*settings, f"trainer.max_samples={budget}", f"output_dir={folder}")
            assert process.returncode == 0, process.stderr
    of = {
        folder: max((tmp_path / folder).glob("runs/*/checkpoints/last.ckpt"), key=lambda path: step(path))
        for folder in ("whole", "parts")
    }
    whole, parts = (load_checkpoint(of[folder])["state_dict"] for folder in ("whole", "parts"))
    assert whole.pop("estimator._extra_state") == parts.pop("estimator._extra_state") == 40
    assert whole["estimator.z"].shape == (1, 1237, 2)
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def step(checkpoint):
    return load_checkpoint(checkpoint)["global_step"]
