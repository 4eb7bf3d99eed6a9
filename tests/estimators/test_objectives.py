"""Objectives in place of the evidence lower bound: beta with a warm-up, and free bits."""

import json

import pytest
import torch

from vae_lab.checks.cases import exact_elbo, gaussian_batch, linear_gaussian_vae
from vae_lab.estimators import Reparameterized, ScoreFunction, StickingTheLanding
from vae_lab.noise import NoiseSource

NOISE = NoiseSource(0)


def estimate(estimator, vae, batch, num_samples=1):
    specs = estimator.noise_spec(vae, batch)
    draws = NOISE.training(specs, purpose="test", step=0, batch_size=len(batch.x), dtype=batch.x.dtype)
    return estimator(vae, batch, draws)


@pytest.mark.parametrize("family", [Reparameterized, ScoreFunction, StickingTheLanding])
def test_beta_rises_while_a_model_trains_and_is_whole_otherwise(family):
    estimator = family(kl="sampled", beta=2.0, warm_up=100)
    assert estimator.weight == 2  # nobody says that it trains
    weights = []
    for samples in (0, 25, 50, 100, 150, 250, 1000):
        estimator.samples = samples
        weights.append(estimator.weight)
    assert weights == [0, 0.5, 1, 2, 2, 2, 2]
    estimator.samples = 25
    estimator.eval()
    assert estimator.weight == 2


def test_beta_rises_in_cycles():
    estimator = Reparameterized(warm_up=10, cycles=2)
    weights = []
    for samples in range(0, 50, 5):
        estimator.samples = samples
        weights.append(estimator.weight)
    assert weights == [0, 0.5, 1, 1, 0, 0.5, 1, 1, 1, 1]


def test_the_bound_that_is_reported_has_beta_one_during_the_warm_up():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    plain, warming = Reparameterized(num_samples=3), Reparameterized(num_samples=3, warm_up=100)
    warming.samples = 50
    expected, found = estimate(plain, vae, batch), estimate(warming, vae, batch)
    assert torch.allclose(found.terms["elbo"], expected.terms["elbo"])
    half = expected.terms["reconstruction"] - 0.5 * expected.terms["kl"]
    assert torch.allclose(found.bound, half)
    assert torch.allclose(found.terms["beta_elbo"], half)


@pytest.mark.parametrize("family", [Reparameterized, ScoreFunction])
def test_free_bits_cost_nothing_and_have_no_gradient(family):
    vae, batch = linear_gaussian_vae(), gaussian_batch(size=6)
    kl = vae.encode(batch).kl(vae.prior)
    lowest, highest = sorted(kl.mean(0).tolist())
    free = 0.5 * (lowest + highest)  # more than one dimension has, less than the other
    found = estimate(family(free_bits=free), vae, batch)
    expected = found.terms["reconstruction"] - (free + highest)
    assert torch.allclose(found.bound, expected)
    assert torch.allclose(found.terms["kl"], kl.sum(1))
    without = estimate(family(), vae, batch)
    (other,) = torch.autograd.grad(
        (found.surrogate - without.surrogate).mean(), [vae.encoder.layers[0].bias], retain_graph=True
    )
    (whole,) = torch.autograd.grad(kl.mean(0)[kl.mean(0).argmin()], [vae.encoder.layers[0].bias])
    assert torch.allclose(other, whole)  # what the free dimension no longer pays
    assert torch.allclose(estimate(family(free_bits=0.0), vae, batch).surrogate, without.surrogate)


def test_the_exact_bound_is_kept_in_sight():
    vae, batch = linear_gaussian_vae(), gaussian_batch()
    estimator = Reparameterized(num_samples=20_000, free_bits=3.0, warm_up=1000)
    estimator.samples = 0
    found = estimate(estimator, vae, batch).terms["elbo"]
    assert torch.allclose(found, exact_elbo(vae, batch), atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"warm_up": -1}, "warm_up must not be negative, got -1"),
        ({"free_bits": -0.1}, r"free_bits must not be negative, got -0\.1"),
        ({"cycles": 0}, "cycles must be at least 1, got 0"),
        ({"cycles": 2}, "cycles must be 1 without warm_up, got 2"),
        ({"free_bits": 0.1, "kl": "sampled"}, "free_bits needs kl=analytic, .*, got kl=sampled"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Reparameterized(**arguments)


def test_a_training_says_what_it_ascended_and_is_selected_by_the_bound(vae_lab, tmp_path):
    words = ["estimator.warm_up=2e3", "estimator.beta=2", "estimator.free_bits=0.25", "trainer.select=best"]
    process = vae_lab("train", *words, "trainer.max_samples=4000", "logger=none", "trainer.progress=false")
    assert process.returncode == 0, process.stderr
    said = "trained with 0.25 free nats per latent dimension while beta rose to 2 over 2,000 samples"
    assert said in " ".join(process.stdout.split())
    (path,) = tmp_path.glob("outputs/runs/*/metrics.json")
    result = json.loads(path.read_text())
    assert result["selection"] == "elbo"
    header, *rows = (path.parent / "metrics.csv").read_text().splitlines()
    column = header.split(",").index("validation/elbo")
    best = max(float(value) for row in rows if (value := row.split(",")[column]))
    assert result["metrics"]["validation/elbo"] == best
