"""`vae-lab impute`, as it is typed."""

import json
import re
import shutil

import numpy as np
import polars as pl
import pytest
from conftest import only
from PIL import Image

QUICK = ["logger=none", "trainer.progress=false"]
FEW = ["logger=none", "max_data=40", "steps=10", "importance_samples=20", "imputations=2", "max_train=200"]
METHODS = ["importance_weighted", "metropolis_within_gibbs", "pseudo_gibbs"]


@pytest.fixture(scope="module")
def once(command_line, tmp_path_factory):
    """A folder with a sweep over latent sizes, made once."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["train", "-m", "sweep.name=sizes", "model.latent_dim=2,8", "trainer.max_samples=60000", *QUICK]
    assert command_line(*words, cwd=folder).returncode == 0
    return folder


@pytest.fixture
def run(once, tmp_path):
    """Its second run, in a folder of the test's own."""
    shutil.copytree(once / "outputs", tmp_path / "outputs")
    for path in (tmp_path / "outputs" / "runs").iterdir():
        if json.loads((path / "metrics.json").read_text())["config"]["model.latent_dim"] == 8:
            return path.name
    raise AssertionError("no such run")


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_all_methods_and_what_they_leave(vae_lab, run, tmp_path):
    process = vae_lab("impute", f"run={run}", "missing=0.5", *FEW[:1])
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert max(map(len, re.split("\n(?:note|in) ?", process.stdout)[0].splitlines())) <= 88
    for word in (*METHODS, "knn", "RMSE", "wrong", "nats per missing pixel", "proposals accepted"):
        assert word in process.stdout
    folder = only(tmp_path / "outputs" / "impute")
    metrics = metrics_of(folder)
    for name in METHODS:
        assert metrics[f"rmse/{name}"] < metrics["rmse/mean"] - 4 * metrics["standard_error/rmse/mean"]
        assert metrics[f"wrong/{name}"] < metrics["wrong/mean"]
    assert metrics["log_likelihood/missing"] < 0
    draws, means, mask, numbers = (
        np.load(folder / f"{name}.npy") for name in ("imputations", "means", "mask", "numbers")
    )
    assert draws.shape == (3, 5, 360, 1, 8, 8)
    assert means.shape == (3, 360, 1, 8, 8)
    assert mask.shape == (360, 1, 8, 8)
    assert numbers.tolist() == list(range(360))
    assert ((draws == means[:, None]) | mask).all()  # what is seen stays
    assert mask.mean() == pytest.approx(0.5, abs=4 * 0.5 / mask.size**0.5)
    per_pixel = metrics["log_likelihood/missing"] * 360 / mask.sum()
    assert metrics["log_likelihood/per_pixel"] == pytest.approx(per_pixel)
    assert (folder / "imputations.png").is_file()
    assert "done already" in vae_lab("impute", f"run={run}", "missing=0.5", *FEW[:1]).stdout


@pytest.mark.parametrize("half", ["top", "bottom", "left", "right"])
def test_halves_and_some_methods(vae_lab, run, tmp_path, half):
    process = vae_lab("impute", f"run={run}", f"missing={half}", *FEW, "methods=[pseudo_gibbs]")
    assert process.returncode == 0, process.stderr
    assert "40 of the 360 test data, at random" in process.stdout
    assert "importance_weighted" not in process.stdout
    mask = np.load(only(tmp_path / "outputs" / "impute") / "mask.npy")[0, 0]
    hidden = {"top": mask[:4], "bottom": mask[4:], "left": mask[:, :4], "right": mask[:, 4:]}[half]
    assert hidden.all()
    assert mask.sum() == 32


def test_masks_of_a_user(vae_lab, run, tmp_path):
    white = np.zeros((8, 8), dtype=np.uint8)
    white[2:5, 1:7] = 255
    Image.fromarray(white).save(tmp_path / "hole.png")
    np.save(tmp_path / "hole.npy", white[np.newaxis] > 0)
    every = np.random.default_rng(0).random((360, 1, 8, 8)) < 0.3
    every[:, 0, 0] = [True, False] * 4
    np.save(tmp_path / "every.npy", every)
    masks = []
    for name in ("hole.png", "hole.npy", "every.npy"):
        process = vae_lab("impute", f"run={run}", f"missing={name}", *FEW)
        assert process.returncode == 0, process.stderr
        folder = max((tmp_path / "outputs" / "impute").iterdir(), key=lambda path: path.stat().st_mtime)
        masks.append(np.load(folder / "mask.npy"))
        numbers = np.load(folder / "numbers.npy")
    assert (masks[0] == masks[1]).all()
    assert (masks[0][:, 0] == (white > 0)).all()
    assert (masks[2] == every[numbers]).all()


def test_all_runs_of_a_sweep_are_judged_by_the_log_likelihood(vae_lab, run, tmp_path):
    process = vae_lab("impute", "runs=sizes", "missing=bottom", *FEW)
    assert process.returncode == 0, process.stderr
    table = pl.read_csv(tmp_path / "outputs" / "sweeps" / "sizes-impute" / "table.csv")
    assert table["latent_dim"].to_list() == [2, 8]
    assert "log_likelihood/missing" in table.columns
    assert (tmp_path / "outputs" / "sweeps" / "sizes-impute" / "figure.png").is_file()


def test_the_gaps_of_a_file_are_filled_where_nothing_is_known_of_the_truth(vae_lab, run, tmp_path):
    whole = np.random.default_rng(0).random((12, 8, 8)).round().astype(np.float32)
    gaps = np.random.default_rng(1).random(whole.shape) < 0.3
    np.save(tmp_path / "gaps.npy", np.where(gaps, np.nan, whole))
    process = vae_lab("impute", f"run={run}", "data=gaps.npy", *FEW)
    assert process.returncode == 0, process.stderr
    assert f"{gaps.mean():.1%} of the pixels of 12 data" in process.stdout
    (folder,) = (tmp_path / "outputs" / "impute").iterdir()
    assert not any(
        name.startswith("rmse") for name in json.loads((folder / "metrics.json").read_text())["metrics"]
    )
    draws, means = np.load(folder / "imputations.npy"), np.load(folder / "means.npy")
    assert (np.load(folder / "mask.npy")[:, 0] == gaps).all()
    assert np.isfinite(draws).all()
    for filled in (draws, means):
        assert (filled[..., 0, :, :][..., ~gaps] == whole[~gaps]).all()  # what is there stays
    assert (folder / "imputations.png").is_file()


def test_a_datum_is_imputed_alike_whatever_stands_beside_it(vae_lab, run, tmp_path):
    for number in (30, 40):
        process = vae_lab("impute", f"run={run}", "missing=0.3", *FEW, f"max_data={number}")
        assert process.returncode == 0, process.stderr
    found = []
    for path in (tmp_path / "outputs" / "impute").iterdir():
        draws, numbers = np.load(path / "imputations.npy"), np.load(path / "numbers.npy")
        found.append({number: draws[:, :, place] for place, number in enumerate(numbers)})
    common = set(found[0]) & set(found[1])
    assert len(common) == 30
    assert all((found[0][number] == found[1][number]).all() for number in common)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            [],
            "missing must be given for data that have all pixels: a share in (0, 1), top, bottom",
        ),
        (["missing=0"], "missing must be a share in (0, 1), got 0, which hides nothing."),
        (["missing=1.0"], "missing must be a share in (0, 1), got 1, which hides everything."),
        (["missing=middle"], "missing must be a share in (0, 1), top, bottom, left, right, or a .npy or"),
        (["missing=none.npy"], "missing: there is no file"),
        (["missing=all.npy"], "missing=all.npy hides everything of a datum."),
        (["missing=nothing.png"], "missing=nothing.png hides nothing of a datum."),
        (["missing=one.npy"], "missing=one.npy hides everything of datum 7."),
        (["missing=small.npy"], "has the shape (4, 4); must have (1, 8, 8), that of a datum, or (360, 1, 8"),
        (["missing=grey.npy"], "must hold true and false, or 1 and 0."),
        (["missing=spoilt.png"], "spoilt.png cannot be read"),
        (["missing=0.5", "steps=1"], "steps must be at least 2, got 1."),
        (["missing=0.5", "imputations=0"], "imputations must be at least 1, got 0."),
        (["missing=0.5", "max_data=0"], "max_data must be at least 1, got 0."),
        (["missing=0.5", "methods=[]"], "methods must name at least one, and each once, got []."),
        (["missing=0.5", "methods=[gibbs]"], "methods must be"),
        (["missing=0.5", "data=nowhere"], "data=nowhere is neither a file, a folder, a part"),
        (["missing=0.5", "stepz=3"], "stepz does not exist; did you mean steps?"),
    ],
)
def test_mistakes_are_one_message(here, run, tmp_path, words, message):
    np.save(tmp_path / "all.npy", np.ones((1, 8, 8), dtype=bool))
    np.save(tmp_path / "small.npy", np.ones((4, 4), dtype=bool))
    np.save(tmp_path / "grey.npy", np.full((1, 8, 8), 0.5))
    of_one = np.zeros((360, 1, 8, 8), dtype=bool)
    of_one[:, 0, 0, 0] = True
    of_one[7] = True
    np.save(tmp_path / "one.npy", of_one)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(tmp_path / "nothing.png")
    (tmp_path / "spoilt.png").write_bytes(b"no image")
    process = here("impute", f"run={run}", *words, "logger=none")
    assert process.returncode == 1
    assert message in " ".join(process.stderr.split())
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.glob("outputs/impute/*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["estimator=autoencoder", "evaluation.importance_samples=null"], "is an autoencoder, which has no"),
        (["model=pixelcnn", "estimator=maximum_likelihood", "evaluation=exact"], "Autoregressive, and imput"),
        (["model/encoder=per_datum"], "has no q(z|x) that serves every datum"),
    ],
)
def test_models_that_cannot_impute(vae_lab, tmp_path, words, message):
    process = vae_lab("train", "trainer.max_samples=200", *words, *QUICK)
    assert process.returncode == 0, process.stderr
    name = only(tmp_path / "outputs" / "runs").name
    process = vae_lab("impute", f"run={name}", "missing=0.5", "logger=none")
    assert process.returncode == 1
    assert message in " ".join(process.stderr.split())
    assert not list(tmp_path.glob("outputs/impute/*"))


@pytest.mark.parametrize(
    "words",
    [
        ["model/likelihood=gaussian", "dataset.binarize=none"],
        ["model/likelihood=beta", "dataset.binarize=none", "dataset.dequantize=true"],
        ["model/likelihood=categorical", "model.likelihood.levels=17", "dataset.binarize=none"],
        ["model/likelihood=continuous_bernoulli", "dataset.binarize=none"],
        ["model/likelihood=discretized_logistic", "model.likelihood.levels=17", "dataset.binarize=none"],
        ["dataset=ppca", "model/likelihood=gaussian", "model/encoder=linear", "model/decoder=linear"],
        ["model/posterior=hierarchical", "model/prior=hierarchical", "estimator.kl=sampled"],
    ],
    ids=lambda words: words[0].rpartition("=")[2],
)
def test_every_likelihood_and_a_hierarchy(vae_lab, tmp_path, words):
    process = vae_lab("train", "trainer.max_samples=3000", *words, *QUICK)
    assert process.returncode == 0, process.stderr
    name = only(tmp_path / "outputs" / "runs").name
    process = vae_lab("impute", f"run={name}", "missing=0.5", *FEW)
    assert process.returncode == 0, process.stderr
    metrics = metrics_of(only(tmp_path / "outputs" / "impute"))
    assert all(np.isfinite(value) for value in metrics.values())
