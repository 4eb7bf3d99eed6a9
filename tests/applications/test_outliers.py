"""`vae-lab outliers`: the scores, what they are worth, and the command as it is typed."""

import math
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from conftest import result
from PIL import Image
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from sklearn.metrics import roc_curve

from vae_lab.applications.outliers.detection import detection
from vae_lab.applications.outliers.scores import likelihood_ratio, outlier_scores, typicality
from vae_lab.checks.cases import linear_gaussian_vae
from vae_lab.evaluation.exact import linear_gaussian_log_likelihood
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource

QUICK = ["logger=none", "trainer.max_samples=2000", "trainer.progress=false"]
NAMES = [
    "kl",
    "negative_elbo",
    "reconstruction_error",
    "negative_log_likelihood",
    "likelihood_ratio",
    "typicality",
]


def with_exact_posterior():
    """A linear-Gaussian VAE whose q(z|x) is p(z|x), in float64: with orthogonal columns it is diagonal."""
    vae = linear_gaussian_vae()
    decoder, encoder = vae.decoder.layers[0], vae.encoder.layers[0]
    variance = (2 * vae.likelihood.log_scale.double()).exp().mean()
    with torch.no_grad():
        weight = torch.linalg.qr(decoder.weight).Q * torch.tensor([1.5, 0.8], dtype=torch.float64)
        decoder.weight.copy_(weight)
        posterior = 1 / (1 + weight.square().sum(0) / variance)
        mean = posterior[:, None] * weight.T / variance
        encoder.weight.copy_(torch.cat([mean, torch.zeros_like(mean)]))
        encoder.bias.copy_(torch.cat([-mean @ decoder.bias, posterior.log()]))
    return vae, weight, decoder.bias.detach(), variance


def drawn(vae, weight, bias, variance, number, scale, seed):
    """Data from N(b, scale * (W W^T + s^2 I))."""
    covariance = weight @ weight.T + variance * torch.eye(4, dtype=torch.float64)
    eps = torch.randn(number, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return bias + scale**0.5 * eps @ torch.linalg.cholesky(covariance).T


def test_scores_of_a_linear_gaussian_model_are_its_closed_forms():
    vae, weight, bias, variance = with_exact_posterior()
    x = drawn(vae, weight, bias, variance, 50, 1.0, seed=1)
    scores = outlier_scores(vae, Batch(x, torch.arange(50)), NoiseSource(0), num_samples=3)
    exact = -linear_gaussian_log_likelihood(vae, x)
    assert torch.allclose(scores["negative_log_likelihood"], exact)
    assert torch.allclose(scores["negative_elbo"], exact)  # the bound is tight, sample by sample
    posterior = 1 / (1 + weight.square().sum(0) / variance)
    mean = (x - bias) @ weight * posterior / variance
    kl = 0.5 * (posterior + mean.square() - 1 - posterior.log()).sum(-1)
    assert torch.allclose(scores["kl"], kl)
    error = (x - bias - mean @ weight.T).square().sum(-1)
    assert torch.allclose(scores["reconstruction_error"], error)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_auroc_of_the_likelihood_is_that_of_two_chi_squared_distributions(scale):
    """-log p(x) grows with the Mahalanobis distance, chi-squared with 4 degrees of freedom, times `scale` for
    outliers: the AUROC is P(F > 1 / scale) for F with (4, 4) degrees of freedom."""
    vae, *model = with_exact_posterior()
    scores = []
    for seed, factor in ((1, 1.0), (2, scale)):
        x = drawn(vae, *model, 4000, factor, seed)
        found = outlier_scores(vae, Batch(x, torch.arange(len(x))), NoiseSource(0), num_samples=1)
        scores.append(found["negative_log_likelihood"].numpy())
    found = detection(*scores)
    exact = f_distribution.sf(1 / scale, 4, 4)
    assert abs(found.auroc - exact) < 4 * found.auroc_error
    assert found.auroc_error < 0.01
    passed = chi2.cdf(chi2.ppf(0.95, 4) / scale, 4)
    density = (
        chi2.pdf(chi2.ppf(0.95, 4) / scale, 4) / scale
    )  # how it moves with the threshold, itself uncertain
    of_threshold = (0.95 * 0.05 / 4000) ** 0.5 / chi2.pdf(chi2.ppf(0.95, 4), 4)
    error = (passed * (1 - passed) / 4000 + (density * of_threshold) ** 2) ** 0.5
    assert abs(found.fpr95 - passed) < 4 * error


def test_typicality_counts_both_sides_and_the_ratio_takes_the_background_away():
    likelihood = torch.tensor([3.0, 5.0, 9.0])
    assert typicality(likelihood, 5.0).tolist() == [2, 0, 4]
    assert likelihood_ratio(likelihood, likelihood).tolist() == [0, 0, 0]


def test_detection_against_pairs_and_scikit_learn():
    rng = np.random.default_rng(0)
    low, high = rng.integers(0, 8, 60).astype(float), rng.integers(3, 11, 40).astype(float)
    found = detection(low, high)
    pairs = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    assert found.auroc == pytest.approx(pairs)
    passing, accepted, _ = roc_curve(
        np.repeat([1, 0], [60, 40]), -np.concatenate([low, high]), drop_intermediate=False
    )
    assert found.fpr95 == pytest.approx(passing[accepted >= 0.95][0])
    again = detection(np.exp(low), np.append(np.exp(high[high < 10]), np.full((high == 10).sum(), math.inf)))
    assert again == found  # of the order alone
    with pytest.raises(ValueError, match="got nan"):
        detection(low, np.append(high, math.nan))


def test_standard_error_of_auroc_is_its_spread():
    rng = np.random.default_rng(1)
    found = [detection(rng.normal(size=80), rng.normal(loc=0.8, size=50)) for _ in range(400)]
    spread = np.std([each.auroc for each in found])
    mean = np.mean([each.auroc_error for each in found])
    assert mean == pytest.approx(spread, rel=4 / (2 * 400) ** 0.5)  # 4 standard errors of a spread


def test_where_all_pairs_are_in_order_or_tied_the_error_is_unknown():
    for outliers in ([3.0, 4.0], [0.5, 0.5]):
        assert math.isnan(detection(np.full(3, 0.5), np.array(outliers)).auroc_error)


@pytest.fixture(scope="module")
def once(command_line, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    words = ["train", "-m", "sweep.name=without", "dataset.leave_out=[3],[1]", *QUICK]
    assert command_line(*words, cwd=folder).returncode == 0
    return folder


@pytest.fixture
def trained(once, tmp_path):
    """A folder of the test's own with two runs that have not seen some digit."""
    shutil.copytree(once / "outputs", tmp_path / "outputs")
    return sorted((tmp_path / "outputs" / "runs").iterdir())


def test_classes_left_out(vae_lab, trained, tmp_path):
    run = next(path for path in trained if result(path)["config"]["dataset.leave_out"] == [3])
    process = vae_lab("outliers", f"run={run.name}", "against=left_out", "logger=none")
    assert process.returncode == 0, process.stderr
    assert max(map(len, process.stdout.splitlines()[:8])) <= 80
    (folder,) = (tmp_path / "outputs" / "outliers").iterdir()
    scores = pl.read_parquet(folder / "scores.parquet")
    assert set(scores.columns) == {"kind", "index", "file", "label", *NAMES}
    assert scores.filter(kind="outlier")["label"].unique().to_list() == [3]
    assert 3 not in scores.filter(kind="inlier")["label"]
    assert len(scores) == 360
    metrics = result(folder)["metrics"]
    for name in NAMES:
        pair = [scores.filter(kind=kind)[name].to_numpy() for kind in ("inlier", "outlier")]
        found = detection(*pair)
        assert metrics[f"auroc/{name}"] == pytest.approx(found.auroc)
        assert metrics[f"fpr95/{name}"] == pytest.approx(found.fpr95)
        assert f"{found.auroc_low:.3f} to {found.auroc_high:.3f}" in process.stdout
    assert {path.name for path in folder.glob("*.png")} == {"histograms.png", "most_and_least_likely.png"}
    again = vae_lab("outliers", f"run={run.name}", "against=left_out", "logger=none")
    assert again.stdout.splitlines()[1:] == process.stdout.splitlines()
    for words in (
        ["scores=[kl]"],
        ["max_data=20"],
        ["importance_samples=7"],
        [f"background={trained[0].name}"],
    ):
        process = vae_lab("outliers", f"run={run.name}", "against=left_out", "logger=none", *words)
        assert process.returncode == 0, (words, process.stderr)
    assert len(list((tmp_path / "outputs" / "outliers").iterdir())) == 5


def test_a_folder_with_a_corrupt_image(vae_lab, trained, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no image")
    Image.new("L", (9, 8)).save(folder / "large.png")
    Image.new("RGB", (8, 8)).save(folder / "colour.png")
    process = vae_lab("outliers", f"run={trained[0].name}", "against=images", "logger=none")
    assert process.returncode == 0, process.stderr
    said = process.stdout.replace("\n", " ")
    assert "against: 3 of 9 images are left out" in said
    assert "broken.png cannot be read as an image" in said
    assert "large.png has 9x8 pixels, and the model was trained on 8x8" in said
    assert "colour.png has mode RGB, and the model was trained on grey images" in said
    (directory,) = (tmp_path / "outputs" / "outliers").iterdir()
    scores = pl.read_parquet(directory / "scores.parquet").filter(kind="outlier")
    assert scores["file"].to_list() == [f"{number}.png" for number in range(6)]
    process = vae_lab("outliers", f"run={trained[0].name}", "against=images", "resize=true", "logger=none")
    assert "1 of 9 images are left out" in process.stdout


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["model=independent_pixels"], NAMES[3:]),
        (["estimator=autoencoder", *QUICK[1:]], NAMES[2:3]),
        (
            ["model/posterior=hierarchical", "model/prior=hierarchical", "estimator.kl=sampled", *QUICK[1:]],
            NAMES,
        ),
    ],
)
def test_models_have_the_scores_that_they_can_give(vae_lab, tmp_path, words, names):
    assert vae_lab("train", "logger=none", "dataset.leave_out=[0]", *words).returncode == 0
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    process = vae_lab("outliers", f"run={run.name}", "against=left_out", "logger=none")
    assert process.returncode == 0, process.stderr
    (folder,) = (tmp_path / "outputs" / "outliers").iterdir()
    metrics = result(folder)["metrics"]
    assert {name.partition("/")[2] for name in metrics if name.startswith("auroc/")} == set(names)


def test_mistakes_leave_nothing(here, vae_lab, trained, tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((5, 9, 9), dtype=np.float32))
    np.save(tmp_path / "bright.npy", np.full((5, 8, 8), 7.0, dtype=np.float32))
    (tmp_path / "empty").mkdir()
    run = f"run={trained[0].name}"
    for words, message in [
        ([run], "against must be given."),
        ([run, "against=tset"], "against=tset is neither a file, a folder, a part of the run's data"),
        ([run, "against=empty"], "against: there are no images in"),
        ([run, "against=wide.npy"], "data of shape (1, 9, 9), and the model was trained on (1, 8, 8)"),
        (
            [run, "against=bright.npy"],
            "against=bright.npy has values from 7 to 7, and the model was trained on",
        ),
        ([run, "against=left_out", "scores=[entropy]"], "scores has entropy, which is no score"),
        ([run, "against=left_out", "importance_samples=0"], "importance_samples must be at least 1, got 0."),
        ([run, "against=left_out", "split=train"], "split must be one of test, validation, got 'train'."),
        ([run, "against=left_out", "background=nowhere"], "run=nowhere is neither a run's directory nor a"),
        ([run, "againts=left_out"], "againts does not exist; did you mean against?"),
    ]:
        process = here("outliers", "logger=none", *words)
        assert process.returncode == 1, words
        assert message in process.stderr, (words, process.stderr)
        assert not list((tmp_path / "outputs").glob("outliers/*/metrics.json")), words
    assert vae_lab("train", *QUICK).returncode == 0
    whole = next(path for path in (tmp_path / "outputs" / "runs").iterdir() if path not in trained)
    process = here("outliers", f"run={whole.name}", "against=left_out", "logger=none")
    assert "against=left_out is for a run that was trained without some classes" in process.stderr


def test_the_sweep_trains_its_models_first_and_takes_each_to_its_question(vae_lab, tmp_path):
    words = ["question=digits_without_2,digits_without_5", "seed=0", *QUICK]
    process = vae_lab("sweep", "outliers", *words)
    assert process.returncode == 0, process.stderr
    table = pl.read_csv(tmp_path / "outputs" / "sweeps" / "outliers" / "table.csv")
    assert table["question"].to_list() == ["digits_without_2", "digits_without_5"]
    assert {f"auroc/{name}" for name in NAMES} <= set(table.columns)
    assert (tmp_path / "outputs" / "sweeps" / "outliers" / "figure.png").is_file()
    runs = pl.read_parquet(tmp_path / "outputs" / "sweeps" / "outliers" / "runs.parquet")
    assert runs["config.dataset.leave_out"].to_list() == ["[2]", "[5]"]
    assert runs["config.outliers.against"].to_list() == ["left_out", "left_out"]
