"""Codes of data, how good they are as a representation, and `vae-lab embed` as it is typed."""

import shutil

import numpy as np
import polars as pl
import pytest
import torch
from conftest import only, result
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from vae_lab.applications.embed import Embed
from vae_lab.applications.embed.explained_variance import ExplainedVariance
from vae_lab.applications.embed.probing_codes import Labelled, ProbingClassifiers, balanced, with_components
from vae_lab.checks.cases import hierarchical_vae, linear_gaussian_vae
from vae_lab.datasets import Array
from vae_lab.datasets.base import Split, SplitDataset, Splits
from vae_lab.estimators import Autoencoder, Reparameterized
from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.models.networks import PerDatum
from vae_lab.noise import NoiseSource
from vae_lab.trained.encode import encoded, samples_of
from vae_lab.trained.load import Trained
from vae_lab.trained.model import TrainedModel
from vae_lab.training.build import TrainingParts
from vae_lab.training.evaluation import Evaluation

QUICK = ["logger=none", "trainer.progress=false", "trainer.max_samples=2000"]
FAST = ["logger=none", "labels=[10]", "repeats=2"]


class InMemory(SplitDataset):
    """Given data, the same for training and test."""

    def __init__(self, x, labels=None):
        super().__init__(batch_size=1)
        self.split = Split(x, labels)

    def load(self):
        return Splits(self.split, self.split, self.split)


def trained(vae, x, labels=None, estimator=None, fit_steps=400):
    """A model as it comes back from a finished run."""
    estimator = estimator or Reparameterized()
    of_training = dict.fromkeys(["tracking", "optimizer", "trainer_factory", "trainer"])
    parts = TrainingParts(
        dataset=InMemory(x, labels),
        model=vae,
        has_density=estimator.has_density,
        noise=NoiseSource(0),
        notes=[],
        estimator=estimator,
        evaluation=Evaluation(fit=FitPosterior(num_steps=fit_steps)),
        **of_training,
    )
    return TrainedModel(Trained(parts, {"signature": "0" * 12}, None, None), torch.device("cpu"))


def gaussian_data(number, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(number, 4, generator=generator, dtype=torch.float64)


def embed(model, folder, **arguments):
    use = Embed(data="test", **arguments)
    outcome = use(model, use.prepare(model), folder, lambda done, total: None)
    return outcome, pl.read_parquet(folder / "codes.parquet")


def columns(codes, prefix):
    return codes.select(name for name in codes.columns if name.startswith(prefix)).to_numpy()


def test_codes_are_those_of_the_encoder_in_closed_form(tmp_path):
    vae, x = linear_gaussian_vae(), gaussian_data(30)
    model = trained(vae, x)
    outcome, codes = embed(model, tmp_path, samples=3)
    layer = vae.encoder.layers[0]
    mean, log_variance = (x @ layer.weight.T + layer.bias).detach().chunk(2, dim=1)
    np.testing.assert_allclose(columns(codes, "mean_"), mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(columns(codes, "scale_"), (log_variance / 2).exp(), rtol=1e-6)
    assert codes.columns[:5] == ["index", "mean_0", "mean_1", "scale_0", "scale_1"]
    assert codes.columns[5:] == [f"sample_{k}_{d}" for k in range(3) for d in range(2)]
    assert codes["index"].to_list() == list(range(30))
    assert {codes[name].dtype for name in codes.columns[1:]} == {pl.Float32}
    decoder = vae.decoder.layers[0]
    decoded = (mean @ decoder.weight.T + decoder.bias).detach()
    explained = 1 - (x - decoded).square().sum() / (x - x.mean(0)).square().sum()
    assert outcome.metrics == {"explained_variance": pytest.approx(explained.item(), abs=1e-12)}
    assert outcome.metric == "explained_variance"


@pytest.mark.parametrize("kind", ["encoder", "table", "hierarchical", "disk"])
def test_codes_do_not_depend_on_the_batches(kind, tmp_path):
    vae, x = linear_gaussian_vae(), gaussian_data(23)
    if kind == "table":
        vae = vae.with_encoder(PerDatum((23,), (4,))).double()
    if kind == "hierarchical":
        vae, x = hierarchical_vae(), (gaussian_data(23) > 0).double().reshape(23, 1, 2, 2)
    model = trained(vae, x, fit_steps=30)
    if kind == "disk":
        np.save(tmp_path / "x.npy", x.numpy())
        x = Array(str(tmp_path / "x.npy"), batch_size=1).splits()["train"].x
    found = []
    for size in (None, 5, 1):
        batches = list(encoded(model, x, size))
        assert torch.equal(torch.cat([batch.numbers for batch in batches]), torch.arange(23))
        means = torch.cat([batch.q.mean for batch in batches])
        assert not means.requires_grad
        found.append((means, torch.cat([samples_of(model, batch, 60) for batch in batches], dim=1)))
    for means, samples in found[1:]:
        torch.testing.assert_close(means, found[0][0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(samples, found[0][1], rtol=1e-9, atol=1e-9)


def test_samples_have_the_mean_and_the_scale_of_q():
    model, number = trained(linear_gaussian_vae(), gaussian_data(4)), 20_000
    (batch,) = encoded(model, gaussian_data(4))
    samples = samples_of(model, batch, number)
    assert samples.shape == (number, 4, 2)
    assert torch.equal(samples_of(model, batch, 70), samples[:70])
    error = batch.q.std / number**0.5
    assert ((samples.mean(0) - batch.q.mean).abs() < 4 * error).all()  # 4 standard errors, of 8 numbers
    assert ((samples.std(0) - batch.q.std).abs() < 4 * error / 2**0.5).all()


def test_what_a_code_is_where_q_is_not_gaussian_or_not_used(tmp_path):
    x = (gaussian_data(6) > 0).double().reshape(6, 1, 2, 2)
    outcome, codes = embed(trained(hierarchical_vae(), x), tmp_path, samples=1)
    assert codes.columns == ["index", *(f"mean_{d}" for d in range(3)), *(f"sample_0_{d}" for d in range(3))]
    assert "there is no scale" in outcome.notes[0]
    autoencoder = trained(linear_gaussian_vae(), gaussian_data(6), estimator=Autoencoder())
    outcome, codes = embed(autoencoder, tmp_path)
    assert codes.columns == ["index", "mean_0", "mean_1"]
    assert "without scale" in outcome.notes[0]
    with pytest.raises(ValueError, match="samples must be 0 for an autoencoder"):
        Embed(samples=2).prepare(autoencoder)


def test_explained_variance_of_data_that_come_in_parts():
    x, explained = 100 + gaussian_data(50), ExplainedVariance()
    halved = x.mean(0) + 0.5 * (x - x.mean(0))
    for some, of_some in zip(x.split(7), halved.split(7), strict=True):
        explained.add(some, of_some)
    assert explained.value == pytest.approx(0.75, abs=1e-10)
    single = ExplainedVariance()
    single.add(x[:1], x[:1])
    assert np.isnan(single.value)


def digits():
    x, labels = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    one, other = slice(600), slice(600, 900)
    parts = [
        Labelled({"code": x[part, 20:24], "pixels": x[part]}, torch.from_numpy(labels[part]))
        for part in (one, other)
    ]
    return with_components(*parts, count=4)


def test_accuracies_are_those_of_scikit_learn_called_by_hand():
    train, test = digits()
    done = []
    probed = ProbingClassifiers([30, 100], repeats=3, seed=5)(
        train, test, lambda *numbers: done.append(numbers)
    )
    assert done == [(number, 18) for number in range(1, 19)]
    scores = {(score.classifier, score.features, score.labels): score for score in probed.scores}
    x, y = train.features["pixels"], train.labels.numpy()
    test_x, test_y = test.features["pixels"], test.labels.numpy()
    scaler, pca = StandardScaler().fit(x), PCA(4, random_state=0).fit(x)
    linear = LogisticRegression(max_iter=1000).fit(scaler.transform(x), y)
    assert scores["linear", "pixels", 600].mean == linear.score(scaler.transform(test_x), test_y)
    near = KNeighborsClassifier(5, weights="distance").fit(pca.transform(x), y)
    assert scores["knn", "pca", 600].mean == near.score(pca.transform(test_x), test_y)
    assert scores["knn", "pca", 600].standard_error is None
    by_hand = []
    for repeat in range(3):
        chosen = balanced(train.labels, 30, seed=5, repeat=repeat).numpy()
        fitted = LogisticRegression(max_iter=1000).fit(scaler.transform(x)[chosen], y[chosen])
        by_hand.append(fitted.score(scaler.transform(test_x), test_y))
    score = scores["linear", "pixels", 30]
    assert score.mean == pytest.approx(np.mean(by_hand))
    assert score.standard_error == pytest.approx(np.std(by_hand, ddof=1) / 3**0.5)
    counts = np.bincount(test_y)
    assert probed.chance == pytest.approx(counts[np.bincount(y).argmax()] / len(test_y))
    assert probed.notes == []


def test_one_draw_has_no_standard_error_and_few_neighbours_are_all_there_are():
    train, test = digits()
    probed = ProbingClassifiers([10], repeats=1, neighbours=50)(train, test, lambda *numbers: None)
    (score,) = (each for each in probed.scores if each[:3] == ("knn", "pixels", 10))
    assert score.standard_error is None
    assert score.mean > 2 * probed.chance


def test_a_linear_probe_that_does_not_end_is_named(monkeypatch):
    monkeypatch.setattr("vae_lab.applications.embed.probing_codes.STEPS", 2)
    train, test = digits()
    (note,) = ProbingClassifiers([])(train, test, lambda *numbers: None).notes
    assert "had not come to its end after 2 steps" in note
    assert "pixels with 600 labels" in note


def test_draws_of_labels():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 3)
    for repeat in range(5):
        chosen = balanced(labels, 12, seed=1, repeat=repeat)
        assert torch.equal(chosen, chosen.unique())
        counts = labels[chosen].bincount(minlength=3)
        assert counts[2] == 3
        assert abs(counts[0] - counts[1]) == 1
        few = balanced(labels, 4, seed=1, repeat=repeat)
        assert set(few.tolist()) < set(chosen.tolist())
        assert sorted(labels[few].bincount(minlength=3).tolist()) == [1, 1, 2]
    assert torch.equal(balanced(labels, 83, 0, 0), torch.arange(83))
    first, again, other = (balanced(labels, 9, seed, 0).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_more_training_data_than_are_wanted(tmp_path):
    labels = torch.arange(40) % 2
    model = trained(linear_gaussian_vae(), gaussian_data(40) + 3 * labels[:, None], labels)
    outcome, codes = embed(model, tmp_path, max_train=20, labels=[2], neighbours=1)
    assert "the classifiers see 20 of 40 train data, at random" in outcome.notes
    assert codes["label"].to_list() == labels.tolist()
    assert outcome.metric == "accuracy/linear/code/all"
    assert outcome.metrics["accuracy/linear/pixels/all"] == 1
    assert outcome.shown.columns == ("accuracy ± s.e.", "2 labels", "all 20")
    assert (tmp_path / "accuracy.png").is_file()
    of_one_class = trained(linear_gaussian_vae(), gaussian_data(40), torch.zeros(40, dtype=torch.long))
    assert "no labels of several classes" in embed(of_one_class, tmp_path)[0].notes[0]
    with pytest.raises(ValueError, match="needs data of several classes"):
        Embed(labels=[3]).prepare(of_one_class)


@pytest.fixture(scope="module")
def once(command_line, tmp_path_factory):
    """A folder with a sweep over latent sizes, made once."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["train", "-m", "sweep.name=sizes", "model.latent_dim=2,3", *QUICK]
    assert command_line(*words, cwd=folder).returncode == 0
    return folder


@pytest.fixture
def runs(once, tmp_path):
    """The same in a folder of the test's own."""
    shutil.copytree(once / "outputs", tmp_path / "outputs")
    return sorted((tmp_path / "outputs" / "runs").iterdir())


def test_a_run_as_one_types_it(vae_lab, runs, tmp_path):
    process = vae_lab("embed", f"run={runs[0].name}", "logger=none", "out=codes.parquet")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert max(map(len, process.stdout.partition("\nin ")[0].splitlines())) <= 88
    assert "codes in codes.parquet" in process.stdout
    directory = only(tmp_path / "outputs" / "embed")
    metrics = result(directory)["metrics"]
    for kind in ("linear", "knn"):
        for name in ("code", "pixels", "pca"):
            assert {f"accuracy/{kind}/{name}/{number}" for number in (10, 100, 1000, "all")} <= metrics.keys()
        assert metrics[f"accuracy/{kind}/pixels/all"] > metrics[f"accuracy/{kind}/pixels/10"]
        assert metrics[f"accuracy/{kind}/code/all"] > metrics["accuracy/chance"]
    assert metrics["standard_error/linear/code/10"] > 0
    assert (directory / "accuracy.png").is_file()
    codes = pl.read_parquet(tmp_path / "codes.parquet")
    assert codes.equals(pl.read_parquet(directory / "codes.parquet"))
    latent_dim = result(runs[0])["config"]["model.latent_dim"]
    assert codes.columns == [
        "index",
        "label",
        *(f"{n}_{d}" for n in ("mean", "scale") for d in range(latent_dim)),
    ]
    assert len(codes) == 360
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.parquet").write_text("something else")
    again = vae_lab("embed", f"run={runs[0].name}", "logger=none", "out=folder/x.parquet")
    assert "done already" in again.stdout
    assert codes.equals(pl.read_parquet(tmp_path / "folder" / "x.parquet"))
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["x.parquet"]
    nowhere = vae_lab("embed", f"run={runs[0].name}", "logger=none", "out=nowhere/x.parquet")
    assert nowhere.returncode == 1
    assert (
        f"out=nowhere/x.parquet: there is no folder {tmp_path / 'nowhere'}; make it first." in nowhere.stderr
    )
    assert len(nowhere.stderr.splitlines()) == 1
    (tmp_path / "folder" / "x.parquet").unlink()


def test_a_folder_of_images_with_a_corrupt_one(vae_lab, runs, tmp_path):
    x, labels = load_digits(return_X_y=True)
    for number in range(12):
        of_class = tmp_path / "images" / str(labels[number] % 2)
        of_class.mkdir(parents=True, exist_ok=True)
        Image.fromarray((x[number] * 15).astype(np.uint8).reshape(8, 8)).save(of_class / f"{number:02}.png")
    names = sorted(str(path.relative_to(tmp_path / "images")) for path in tmp_path.glob("images/*/*.png"))
    (tmp_path / "images" / names[3]).write_bytes(b"no image")
    words = [f"run={runs[0].name}", "logger=none", "data=images", "classify=false"]
    process = vae_lab("embed", *words, "out='~/codes.parquet'", env={"HOME": str(tmp_path)})
    assert process.returncode == 0, process.stderr
    assert f"1 of 12 images are left out: {names[3]} cannot be read as an image" in process.stdout
    codes = pl.read_parquet(tmp_path / "codes.parquet")
    assert codes["file"].to_list() == names[:3] + names[4:]
    assert codes["label"].to_list() == [int(name[0]) for name in names[:3] + names[4:]]
    assert codes["index"].to_list() == list(range(11))
    assert result(only(tmp_path / "outputs" / "embed"))["metric"] == "explained_variance"
    Image.open(tmp_path / "images" / names[0]).resize((9, 9)).save(tmp_path / "images" / names[0])
    resized = vae_lab("embed", *words, "resize=true", "out=codes.parquet")
    assert resized.returncode == 0, resized.stderr
    assert pl.read_parquet(tmp_path / "codes.parquet")["file"].to_list() == names[:3] + names[4:]


def test_all_runs_of_a_sweep(vae_lab, runs, tmp_path):
    process = vae_lab("embed", "runs=sizes", *FAST)
    assert process.returncode == 0, process.stderr
    table = pl.read_csv(tmp_path / "outputs" / "sweeps" / "sizes-embed" / "table.csv")
    assert table["latent_dim"].to_list() == [2, 3]
    assert "accuracy/linear/code/all" in table.columns
    process = vae_lab("embed", "runs=sizes", *FAST, "out=codes.parquet")
    assert process.returncode == 1
    assert (
        "out=codes.parquet must be left out of a sweep, as each run would replace the file." in process.stderr
    )


def test_mistakes_leave_nothing(here, runs, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.parquet").mkdir()
    np.save(tmp_path / "wrong.npy", np.zeros((5, 9, 9), np.float32))
    for words, message in [
        (["labels=[5]"], "labels must be at least 10, one for each class, got 5."),
        (["labels=[5000]"], "labels must be at most 1,237, the training data, got 5,000."),
        (["labels=[1000]", "max_train=500"], "labels must be at most 500, the training data, got 1,000."),
        (["labels=[10]", "classify=false"], "labels=[10] has no effect with classify=false; leave it out."),
        (["labels=ten"], "labels must be Sequence of int or null, got 'ten'."),
        (["samples=-1"], "samples must be at least 0, got -1."),
        (["data=wrong.npy"], "data=wrong.npy has data of shape (1, 9, 9), and the model was trained on"),
        (["data=empty"], f"data: there are no images in {tmp_path / 'empty'}"),
        (["out=codes.csv"], "out must end in .parquet, got codes.csv."),
        (["out=x.parquet"], "out=x.parquet is a folder; name a file."),
        (["out=nowhere/x.parquet"], f"there is no folder {tmp_path / 'nowhere'}; make it first."),
    ]:
        process = here("embed", f"run={runs[0].name}", "logger=none", *words)
        assert process.returncode == 1, words
        assert message in process.stderr, (words, process.stderr)
        assert len(process.stderr.strip().splitlines()) == 1, process.stderr
    assert not list((tmp_path / "outputs").glob("embed/*"))


def test_models_that_have_no_codes(vae_lab, tmp_path):
    chains = ["model/encoder=none", "estimator=monte_carlo_em", "evaluation=marginal_likelihood"]
    for words, message in [
        ([*QUICK, *chains, "model.latent_dim=2"], "has no q(z|x), by which data are encoded"),
        (
            ["model=independent_pixels", "logger=none"],
            "IndependentPixels has no latent variables.",
        ),
    ]:
        assert vae_lab("train", *words, "hydra.run.dir=run").returncode == 0
        process = vae_lab("embed", "run=run", "logger=none")
        assert process.returncode == 1
        assert message in process.stderr
        shutil.rmtree(tmp_path / "run")
    assert not list((tmp_path / "outputs").glob("embed/*"))
