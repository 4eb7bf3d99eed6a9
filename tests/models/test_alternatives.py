"""The models that a VAE replaces: their densities, their fits, and the command line."""

import json
import math
import re

import numpy as np
import pytest
import torch
from conftest import built
from scipy import integrate, special
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture as Reference

from vae_lab.errors import UserError
from vae_lab.models.alternatives import (
    PPCA,
    Autoregressive,
    BernoulliMixture,
    FiniteMixture,
    GaussianMixture,
    IndependentPixels,
)
from vae_lab.models.alternatives.mixture import check_alive
from vae_lab.models.likelihoods import Bernoulli, FixedGaussian, Gaussian
from vae_lab.models.networks import PixelCNN, Recurrent
from vae_lab.models.sampling import draw_data
from vae_lab.noise import NoiseSource

NOISE = NoiseSource(0)
SHAPE = (1, 2, 3)


def binary(size=300, seed=0):
    """Images of two kinds, pixels of a kind being alike."""
    generator = torch.Generator().manual_seed(seed)
    kinds = torch.rand(2, *SHAPE, generator=generator)
    chosen = torch.randint(2, (size,), generator=generator)
    return (torch.rand(size, *SHAPE, generator=generator) < kinds[chosen]).double()


def real(size=400, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    centres = 3 * torch.randn(2, 6, generator=generator, dtype=torch.float64)
    chosen = torch.randint(2, (size,), generator=generator)
    x = centres[chosen] + torch.randn(size, 6, generator=generator, dtype=torch.float64) @ mixing
    return x.reshape(size, *SHAPE)


def every_image():
    return torch.stack([torch.tensor([code >> bit & 1 for bit in range(6)]) for code in range(64)]).reshape(
        64, *SHAPE
    )


def fitted(model, x):
    rows = list(model.fit(x, NOISE))
    assert rows
    return model.eval()


def autoregressive(network, likelihood, shape=SHAPE):
    torch.manual_seed(0)
    if network == "recurrent":
        body = Recurrent(shape, likelihood.num_outputs, hidden=5)
    else:
        body = PixelCNN(shape, likelihood.num_outputs, channels=12, num_blocks=2)
    with torch.no_grad():
        for parameter in body.parameters():
            parameter.mul_(3)  # so that pixels depend on each other visibly
    return Autoregressive(shape, body.double(), likelihood)


DISCRETE = {
    "independent_pixels": lambda: fitted(IndependentPixels(SHAPE, Bernoulli()), binary()),
    "bernoulli_mixture": lambda: fitted(BernoulliMixture(SHAPE, num_components=3), binary()),
    "finite_mixture": lambda: fitted(FiniteMixture(SHAPE, Bernoulli()), binary()),
    "recurrent": lambda: autoregressive("recurrent", Bernoulli()),
    "pixelcnn": lambda: autoregressive("pixelcnn", Bernoulli()),
}
DENSITIES = {
    "independent_pixels": lambda: fitted(IndependentPixels(SHAPE, Gaussian()), real()),
    "gaussian_mixture": lambda: fitted(GaussianMixture(SHAPE, 2, "full"), real()),
    "diagonal": lambda: fitted(GaussianMixture(SHAPE, 3, "diagonal"), real()),
    "ppca": lambda: fitted(PPCA(SHAPE, 2), real()),
    "finite_mixture": lambda: fitted(FiniteMixture(SHAPE, Gaussian()), real()),
    "recurrent": lambda: autoregressive("recurrent", Gaussian()),
    "pixelcnn": lambda: autoregressive("pixelcnn", Gaussian()),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_of_all_images_add_up_to_one(name):
    with torch.no_grad():
        total = DISCRETE[name]().log_prob(every_image().double()).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", DISCRETE)
def test_samples_have_the_probability_of_each_image(name):
    model, number = DISCRETE[name](), 20_000
    x, _ = draw_data(model, SHAPE, number)
    codes = (x.flatten(1) * 2 ** torch.arange(6)).sum(1).long()
    counts = torch.bincount(codes, minlength=64).double()
    with torch.no_grad():
        expected = number * model.log_prob(every_image().double()).exp().double()
    often = expected >= 5
    rare = torch.stack([counts[~often].sum(), expected[~often].sum()])
    chi_squared = ((counts - expected).square() / expected)[often].sum()
    chi_squared += (rare[0] - rare[1]).square() / rare[1] if rare[1] > 0 else 0
    assert special.chdtrc(int(often.sum()), chi_squared.item()) > 1e-3


@pytest.mark.parametrize("name", DENSITIES)
def test_samples_have_the_density(name):
    """E[p(y + eps) / p(y)] is 1 for y from p, wherever a small shift of p stays within its reach."""
    model = DENSITIES[name]()
    x, _ = draw_data(model, SHAPE, 20_000)
    x = x.double()
    with torch.no_grad():
        shift = 0.1 * x.flatten(1).std(0).min() * torch.ones(SHAPE, dtype=torch.float64)
        ratio = (model.log_prob(x + shift) - model.log_prob(x)).exp()
    error = ratio.std().item() / len(x) ** 0.5
    assert ratio.mean().item() == pytest.approx(1, abs=4 * error)


def test_independent_pixels_are_the_moments():
    x = binary()
    model = fitted(IndependentPixels(SHAPE, Bernoulli(), smoothing=0.5), x)
    p = (x.sum(0) + 0.5) / (len(x) + 1)
    expected = (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
    assert torch.allclose(model.log_prob(x), expected)
    x = real()
    model = fitted(IndependentPixels(SHAPE, Gaussian()), x)
    normal = torch.distributions.Normal(x.mean(0), x.std(0, correction=0))
    assert torch.allclose(model.log_prob(x), normal.log_prob(x).flatten(1).sum(1))


def test_ppca_is_that_of_scikit_learn_up_to_the_number_of_data():
    """Which divides the covariance by N - 1."""
    x = real(20_000)
    model = fitted(PPCA(SHAPE, 2), x)
    expected = PCA(2).fit(x.flatten(1).numpy()).score_samples(x.flatten(1).numpy())
    assert np.allclose(model.log_prob(x).numpy(), expected, atol=1e-2)


@pytest.mark.parametrize("size", [400, 5])
def test_ppca_is_at_the_maximum_of_likelihood_also_with_fewer_data_than_pixels(size):
    x = real(size).flatten(1)
    model = fitted(PPCA((6,), 2), x)
    best = model.log_prob(x).mean()
    covariance = (x - x.mean(0)).T @ (x - x.mean(0)) / size
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    variance = eigenvalues[:-2].sum() / 4
    found = model.weight @ model.weight.T + model.variance * torch.eye(6)
    lengths = torch.cat([variance.expand(4), eigenvalues[-2:]])
    assert torch.allclose(found, (vectors * lengths) @ vectors.T, atol=1e-8)
    for name in ("mean", "weight", "variance"):
        for sign in (-1, 1):
            other = fitted(PPCA((6,), 2), x)
            moved = getattr(other, name) * (1 + sign * 1e-2)
            setattr(other, name, moved)
            assert other.log_prob(x).mean() < best


@pytest.mark.parametrize(("kind", "theirs"), [("full", "full"), ("diagonal", "diag")])
def test_the_gaussian_mixture_is_that_of_scikit_learn(kind, theirs):
    x = real()
    model = fitted(GaussianMixture(SHAPE, 2, kind), x)
    expected = Reference(2, covariance_type=theirs, random_state=0).fit(x.flatten(1).numpy())
    assert np.allclose(model.log_prob(x).numpy(), expected.score_samples(x.flatten(1).numpy()))


def test_expectation_maximisation_never_loses():
    """The likelihood and the log-prior that smoothing stands for, together."""
    x, model = binary(), BernoulliMixture(SHAPE, num_components=4, tolerance=0)
    objectives = []
    for row in model.fit(x, NOISE):
        p = model.logits.sigmoid()
        prior = model.smoothing * (p.log() + (1 - p).log()).sum().item()
        objectives.append((row["log_likelihood"] * len(x), prior))
    likelihoods = [
        likelihood for likelihood, _ in objectives[1:]
    ]  # each of the parameters of the step before
    found = [a + b for a, (_, b) in zip(likelihoods, objectives, strict=False)]
    assert len(found) > 5
    assert all(after >= before - 1e-8 for before, after in zip(found, found[1:], strict=False))


@pytest.mark.parametrize(("likelihood", "data"), [(Bernoulli, binary), (Gaussian, real)])
def test_coordinate_ascent_never_loses_and_is_not_random(likelihood, data):
    first, second = (list(FiniteMixture(SHAPE, likelihood()).fit(data(), NOISE)) for _ in range(2))
    bounds = [row["elbo"] for row in first]
    assert len(bounds) > 2
    assert all(after >= before - 1e-12 for before, after in zip(bounds, bounds[1:], strict=False))
    assert first == second


def two_components(log_odds, concentration=(1.5, 0.7)):
    """Coordinate ascent to its end, with the components' densities given."""
    model = FiniteMixture(SHAPE, Gaussian(), concentration)
    log_p = torch.stack([torch.zeros_like(log_odds), log_odds])
    q = torch.full_like(log_p, 0.5)
    bounds = []
    for _ in range(500):
        q = model.ascend(log_p, q)
        bounds.append(model.bound(log_p, q).item())
    return model, log_p, q, bounds


def log_evidence(log_p, concentration):
    """log of the integral over the proportion of its prior times the likelihood of all data."""
    b, a = concentration

    def density(proportion):
        mixed = (1 - proportion) * log_p[0].exp() + proportion * log_p[1].exp()
        return mixed.prod().item() * proportion ** (a - 1) * (1 - proportion) ** (b - 1)

    return math.log(integrate.quad(density, 0, 1, epsabs=0, epsrel=1e-10)[0]) - special.betaln(a, b)


def test_coordinate_ascent_is_a_numerical_integral_where_the_components_are_known():
    """With data that belong to one component each, q factorises as the posterior does: no gap is left."""
    log_odds = torch.tensor([40.0, 35.0, -38.0, 33.0, -36.0], dtype=torch.float64)
    model, log_p, _, bounds = two_components(log_odds)
    scaled = log_p - log_p.max(0).values  # exp of 40 would do, but not of a hundred
    exact = log_evidence(scaled, (1.5, 0.7)) + log_p.max(0).values.sum().item()
    assert bounds[-1] == pytest.approx(exact, abs=1e-8)
    assert model.gamma.tolist() == pytest.approx([1.5 + 2, 0.7 + 3])


def test_the_bound_of_coordinate_ascent_lies_below_the_integral():
    log_odds = torch.tensor([0.5, -1.0, 2.0, 0.1], dtype=torch.float64)
    model, log_p, q, bounds = two_components(log_odds)
    exact = log_evidence(log_p, (1.5, 0.7))
    assert exact - 0.5 < bounds[-1] < exact
    assert all(after >= before - 1e-12 for before, after in zip(bounds, bounds[1:], strict=False))
    expected = torch.sigmoid(log_odds + model.gamma[1].digamma() - model.gamma[0].digamma())
    assert torch.allclose(q[1], expected, atol=1e-6)


@pytest.mark.parametrize("network", ["recurrent", "pixelcnn"])
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 4, 5)])
def test_a_pixel_depends_on_those_before_it_alone(network, shape):
    model = autoregressive(network, Gaussian(), shape)
    x = torch.randn(1, *shape, dtype=torch.float64)
    numbers = torch.arange(math.prod(shape)).reshape(shape)
    place = numbers if network == "recurrent" else _raster(shape)  # channels together in a pixel
    jacobian = torch.autograd.functional.jacobian(lambda x: model.network(x)[0], x)[:, :, :, 0]
    for kind in range(2):  # mean and variance
        depends = jacobian[kind * shape[0] : (kind + 1) * shape[0]].abs() > 0
        target, source = place.reshape(*shape, 1, 1, 1), place.reshape(1, 1, 1, *shape)
        assert not (depends & (source >= target)).any()
        assert (depends & (source == target - 1)).sum() > 0.8 * math.prod(shape) - shape[1]


def _raster(shape):
    channels, height, width = shape
    return torch.arange(math.prod(shape)).reshape(height, width, channels).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IndependentPixels(SHAPE, FixedGaussian()), "likelihood must be bernoulli or gaussian"),
        (lambda: IndependentPixels(SHAPE, Gaussian("sigmoid")), "mean_activation must be identity"),
        (lambda: IndependentPixels(SHAPE, Bernoulli(), 0), "smoothing must be above 0, got 0"),
        (lambda: BernoulliMixture(SHAPE, 0), "num_components must be at least 1, got 0"),
        (lambda: fitted(BernoulliMixture(SHAPE, 400), binary()), "num_components must be at most 300"),
        (lambda: GaussianMixture(SHAPE, 2, regularization=-1), "regularization must be at least 0, got -1"),
        (lambda: PPCA(SHAPE, 6), "latent_dim must be at least 1 and below 6, got 6"),
        (lambda: fitted(PPCA(SHAPE, 5), real(5)), "latent_dim must be below 5, the data, got 5"),
        (lambda: FiniteMixture(SHAPE, Bernoulli(), (1, 0)), r"concentration must be above 0, got \[1, 0\]"),
        (lambda: fitted(IndependentPixels(SHAPE, Gaussian()), torch.ones(9, *SHAPE)), "no density for 6"),
        (
            lambda: check_alive(torch.tensor([5.0, 0.2, 0.1]), 0.5),
            "component 1 has died: holds 0.2 of 5 d",
        ),
        (lambda: fitted(GaussianMixture(SHAPE, 40), real(50).round()), "has died|lets a covariance collapse"),
        (lambda: Recurrent(SHAPE, 1, hidden=0), "hidden must be at least 1, got 0"),
        (lambda: PixelCNN((6,), 1, 8, 1), "needs images of shape"),
        (lambda: PixelCNN((3, 4, 4), 1, 8, 1), "channels must be a multiple of 6, got 8"),
        (lambda: PixelCNN(SHAPE, 1, 8, -1), "num_blocks must be at least 0, got -1"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def results(folder):
    return [json.loads(path.read_text()) for path in folder.glob("*/metrics.json")]


def test_models_of_every_kind_in_one_sweep_and_measured(vae_lab, tmp_path):
    words = ["model=mlp,independent_pixels,bernoulli_mixture,finite_mixture", "sweep.name=zoo"]
    process = vae_lab("train", "-m", *words, "logger=none", "sweep.metric=test/log_likelihood")
    assert process.returncode == 0, process.stderr
    assert "zoo: 4 runs" in process.stdout
    outputs = tmp_path / "outputs"
    assert "bernoulli_mixture" in (outputs / "sweeps" / "zoo" / "table.md").read_text()
    found = {each["estimator"]: each for each in results(outputs / "runs")}
    kinds = {name: each["log_likelihood"] for name, each in found.items()}
    assert kinds == {
        "Reparameterized": "L_100",
        "IndependentPixels": "exact",
        "BernoulliMixture": "exact",
        "FiniteMixture": "predictive",
    }
    scores = {name: each["metrics"]["test/log_likelihood"] for name, each in found.items()}
    assert scores["IndependentPixels"] < scores["FiniteMixture"] < scores["BernoulliMixture"]
    assert found["IndependentPixels"]["parameters"] == 64
    run = outputs / "runs" / found["BernoulliMixture"]["signature"]
    assert {path.name for path in (run / "figures").iterdir()} == {"samples.png"}
    rows = (run / "metrics.csv").read_text().splitlines()
    assert "train/log_likelihood" in rows[0]
    assert len(rows) > 5
    process = vae_lab("evaluate", "runs=zoo", "logger=none", "measures.importance_samples=[10]")
    assert process.returncode == 0, process.stderr
    for each in results(outputs / "evaluations"):
        if (kind := kinds[each["estimator"]]) != "L_100":
            assert each["log_likelihood"] == kind
            assert each["metrics"]["test/log_likelihood"] == pytest.approx(
                scores[each["estimator"]], rel=1e-6
            )
            bits = -scores[each["estimator"]] / (64 * math.log(2))
            assert each["metrics"]["test/bits_per_dimension"] == pytest.approx(bits, rel=1e-6)


def test_a_density_on_the_command_line(vae_lab, tmp_path):
    words = ["model=ppca", "dataset.binarize=none", "logger=none"]
    process = vae_lab("train", *words)
    assert process.returncode == 0, process.stderr
    (found,) = results(tmp_path / "outputs" / "runs")
    assert f"{found['metrics']['test/log_likelihood']:.2f}" in process.stdout
    assert "exact" in process.stdout
    assert "n/a" not in process.stdout
    assert "is done already" in vae_lab("train", *words).stdout


def test_an_autoregressive_model_trains_goes_on_and_is_measured(vae_lab, tmp_path):
    words = ["model=pixelcnn", "model.network.num_blocks=1", "logger=none", "trainer.progress=false"]
    for budget in (1500, 3000):  # the longer run goes on from the shorter one
        process = vae_lab("train", *words, f"trainer.max_samples={budget}")
        assert process.returncode == 0, process.stderr
    longest = max(
        (json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/metrics.json")),
        key=lambda found: found["metrics"]["samples"],
    )
    assert longest["metrics"]["samples"] == 3000
    assert longest["metrics"]["validation/log_likelihood"] > -44  # 64 pixels of log 2 at the beginning
    assert longest["timing"]["sampling_seconds"] > 0
    assert longest["parameters"] > 1000
    run = tmp_path / "outputs" / "runs" / longest["signature"]
    assert {path.name for path in (run / "figures").iterdir()} == {"samples.png", "learning_curve.png"}
    process = vae_lab("evaluate", f"run={run}", "logger=none")
    assert process.returncode == 0, process.stderr
    assert f"{longest['metrics']['test/log_likelihood']:,.3f}" in process.stdout


def test_a_density_of_binary_data_is_said_to_be_one():
    assert "the data are binary" in built("model=ppca").notes[0]
    assert built("model=ppca", "dataset.binarize=none").notes == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("model=ppca estimator=iwae", "estimator must be none, as PPCA fits itself; leave it out."),
        ("model=ppca trainer=cpu", "trainer must be none, as PPCA fits itself; leave it out."),
        ("model=ppca optimizer=sgd", "optimizer must be none, as PPCA fits itself; leave it out."),
        ("model=ppca evaluation=default", "evaluation must be none, as PPCA fits itself; leave it out."),
        ("model=ppca trainer.devices=2", "trainer.devices must be 1, as PPCA fits itself in one process"),
        ("model=ppca callbacks=estimator_probe", "callbacks must be none, as PPCA fits itself"),
        ("model=ppca model.latent_dim=64", "model.latent_dim must be at least 1 and below 64, got 64"),
        ("trainer=none", "trainer=none is for a model that fits itself; leave it out."),
        ("estimator=maximum_likelihood", "needs log p(x) itself, and a VAE has a bound"),
        ("model=pixelcnn estimator=iwae", "Autoregressive has log p(x) itself; use estimator=maximum_lik"),
        ("model=pixelcnn evaluation=default", "importance_samples is for a VAE, and Autoregressive has log"),
        ("model=pixelcnn model.network.channels=9", "channels must be a multiple of 2, got 9"),
        ("model=bernoulli_mixture dataset=ppca", "BernoulliMixture needs data in [0, 1], but the data go"),
    ],
)
def test_bad_configurations(words, message):
    with pytest.raises(UserError, match=re.escape(message)):
        built(*words.split())


@pytest.mark.parametrize("words", [["model=ppca"], ["-m", "model=ppca,linear", "dataset=ppca"]])
def test_a_training_setting_for_a_model_that_fits_itself(vae_lab, tmp_path, words):
    process = vae_lab("train", *words, "trainer.max_epochs=2")
    assert process.stderr == (
        "vae-lab train: trainer.max_epochs must be left out for a model that fits itself, which has no "
        "trainer; in a sweep over models, give it to the others alone.\n"
    )
    assert not (tmp_path / "outputs").exists()


def test_what_only_the_fit_can_tell(vae_lab, tmp_path):
    process = vae_lab("train", "model=independent_pixels", "model/likelihood=gaussian", "logger=none")
    assert process.returncode == 1
    assert process.stderr.startswith("vae-lab train: model.likelihood: Gaussian has no density for")
    assert len(process.stderr.splitlines()) <= 2
    assert not results(tmp_path / "outputs" / "runs")
