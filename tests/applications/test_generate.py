"""New data from a trained model, whether they are new, and `vae-lab generate` as it is typed."""

import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import only, result

from vae_lab.applications.generate import Generate
from vae_lab.applications.generate import nearest as nearest_module
from vae_lab.applications.generate.nearest import nearest_data
from vae_lab.datasets import Array
from vae_lab.datasets.base import Split, Splits
from vae_lab.noise import NoiseSpec
from vae_lab.trained.model import load

QUICK = ["logger=none", "trainer.progress=false", "trainer.max_samples=2000"]


def pixels(number, seed, *shape):
    return torch.rand(number, *(shape or (1, 4, 4)), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("at_a_time", [1, 7, 1000])
@pytest.mark.parametrize("on_disk", [False, True])
def test_nearest_is_what_looking_at_all_pairs_finds(tmp_path, monkeypatch, on_disk, at_a_time):
    monkeypatch.setattr(nearest_module, "CHUNK_DATA", at_a_time)
    queries, x = pixels(11, 0), pixels(50, 1)
    given = x
    if on_disk:
        np.save(tmp_path / "x.npy", x.numpy())
        given = Array(str(tmp_path / "x.npy"), batch_size=1).splits()["train"].x
    pairs = (queries.flatten(1)[:, None] - x.flatten(1)).square().sum(-1).sqrt()
    found = nearest_data(queries, given)
    assert torch.equal(found.numbers, pairs.argmin(1))
    torch.testing.assert_close(found.distances, pairs.min(1).values)


def test_a_copy_is_at_distance_0_and_the_first_of_equals_is_found(monkeypatch):
    x = pixels(300, 0, 1, 28, 28)
    found = nearest_data(x[[3, 200]], torch.cat([x, x]))
    assert found.numbers.tolist() == [3, 200]
    assert found.distances.tolist() == [0, 0]
    monkeypatch.setattr(nearest_module, "CHUNK_DATA", 10)
    assert nearest_data(x[[3, 200]], torch.cat([x, x])).numbers.tolist() == [3, 200]


class Drawing:
    """Stands for a trained model whose samples are given, one after another."""

    def __init__(self, x, train, test, labels=None):
        split = Split(train, labels)
        self.x = x
        self.data = Splits(split, split, Split(test))
        dataset = SimpleNamespace(measured_part=lambda name: getattr(self.data, name))
        self.parts = SimpleNamespace(has_density=True, dataset=dataset)
        self.model = SimpleNamespace(
            has_latents=True, sample_spec=lambda shape: {"pixels": NoiseSpec("uniform", 1, (1,))}
        )
        self.noise = SimpleNamespace(seed=0)
        self.data_shape = tuple(train.shape[1:])
        self.result = {"signature": "0" * 12}

    def sample(self, count, seed=0, temperature=1.0):
        return self.x[torch.arange(count) % len(self.x)]

    def sample_prior(self, count, temperature=1.0, seed=0):
        return torch.arange(count)

    def decode(self, z, pixels="mean"):
        return self.x[z % len(self.x)]


def generated(model, folder, **arguments):
    use = Generate(**arguments)
    return use(model, use.prepare(model), folder, lambda done, total: None)


def test_a_model_that_memorises_and_one_that_does_not(tmp_path):
    train, test = pixels(400, 0), pixels(200, 1)
    memory = generated(Drawing(train, train, test), tmp_path).metrics
    assert memory["distance/drawn"] == memory["distance/ratio"] == 0
    assert memory["distance/copies"] == 1
    blurred = train + 0.01 * torch.randn(train.shape, generator=torch.Generator().manual_seed(2))
    near = generated(Drawing(blurred, train, test), tmp_path).metrics
    assert 0 < near["distance/ratio"] < 0.1
    assert near["distance/copies"] == 1
    fresh = generated(Drawing(pixels(400, 3), train, test), tmp_path).metrics
    assert fresh["distance/test"] == near["distance/test"]
    assert fresh["distance/ratio"] == pytest.approx(1, abs=0.05)
    share = 0.01 + 4 * math.sqrt(2 * 0.01 / 200)  # 4 standard errors, of the draws and of the quantile
    assert fresh["distance/copies"] <= share


def test_classes_are_those_of_the_nearest_training_data(tmp_path):
    labels = torch.arange(40) % 4
    train = pixels(40, 0) + 10 * labels.reshape(-1, 1, 1, 1)
    drawn = train[labels != 2][torch.randperm(30, generator=torch.Generator().manual_seed(1))]
    outcome = generated(Drawing(drawn, train, train[:5], labels), tmp_path, number=30, by_class=True)
    assert np.load(tmp_path / "labels.npy").tolist() == [0] * 10 + [1] * 10 + [3] * 10
    saved = np.load(tmp_path / "samples.npy")
    assert np.array_equal(saved[:10].round(-1), np.zeros((10, 1, 4, 4)))
    assert outcome.metrics["class/0"] == outcome.metrics["class/3"] == pytest.approx(1 / 3)
    assert "class/2" not in outcome.metrics
    with pytest.raises(ValueError, match="by_class=true needs labels"):
        generated(Drawing(drawn, train, train[:5]), tmp_path, by_class=True)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 4), (6,)])
@pytest.mark.parametrize("number", [1, 5, 130])
def test_figures_of_few_and_many_data_of_every_shape(tmp_path, shape, number):
    train = pixels(20, 0, *shape)
    generated(Drawing(train, train, train[:5]), tmp_path, number=number)
    assert np.load(tmp_path / "samples.npy").shape == (number, *shape)
    for name in ("samples.png", "nearest_training_data.png"):
        assert (tmp_path / name).stat().st_size > 1000


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
    process = vae_lab("generate", f"run={runs[0].name}", "logger=none", "number=20", "by_class=true")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert max(map(len, process.stdout.splitlines()[:-1])) <= 88
    folder = only(tmp_path / "outputs" / "generate")
    model = load(runs[0])
    means = model.decode(model.sample_prior(20)).numpy()
    saved, labels = np.load(folder / "samples.npy"), np.load(folder / "labels.npy")
    assert sorted(map(bytes, saved)) == sorted(map(bytes, means))
    of_train = model.parts.dataset.data.train
    near = nearest_data(torch.from_numpy(saved), of_train.x)
    assert np.array_equal(of_train.labels[near.numbers].numpy(), labels)
    assert (np.diff(labels) >= 0).all()
    metrics = result(folder)["metrics"]
    assert sum(value for name, value in metrics.items() if name.startswith("class/")) == pytest.approx(1)
    assert metrics["distance/ratio"] * metrics["distance/test"] == pytest.approx(metrics["distance/drawn"])
    assert {"samples.png", "nearest_training_data.png"} <= {path.name for path in folder.iterdir()}
    again = vae_lab("generate", f"run={runs[0].name}", "logger=none", "number=20", "by_class=true")
    assert "done already" in again.stdout


def test_what_is_drawn(vae_lab, runs, tmp_path):
    model = load(runs[0])
    z = model.sample_prior(9)
    for words, wanted in [
        ([], model.decode(z)),
        (["pixels=mode"], model.decode(z, "mode")),
        (["pixels=sample"], model.sample(9)),
        (["temperature=0.5"], model.decode(0.5 * z)),
        (["temperature=0.5", "pixels=sample"], model.sample(9, temperature=0.5)),
        (["seed=7"], model.decode(model.sample_prior(9, seed=7))),
    ]:
        directory = f"hydra.run.dir={tmp_path / 'out'}"
        process = vae_lab("generate", f"run={runs[0].name}", "logger=none", "number=9", directory, *words)
        assert process.returncode == 0, process.stderr
        found = torch.from_numpy(np.load(tmp_path / "out" / "samples.npy"))
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
        if "pixels=mode" in words or "pixels=sample" in words:
            assert set(found.unique().tolist()) <= {0.0, 1.0}
        shutil.rmtree(tmp_path / "out")


def test_models_without_latent_variables_and_autoencoders(vae_lab, tmp_path):
    assert vae_lab("train", "model=independent_pixels", "logger=none", "hydra.run.dir=run").returncode == 0
    for words, message in [
        ([], "pixels must be sample for IndependentPixels, which has no z, got mean."),
        (
            ["pixels=sample", "temperature=2"],
            "temperature must be 1.0 for IndependentPixels, which has no z, got 2.",
        ),
    ]:
        process = vae_lab("generate", "run=run", "logger=none", *words)
        assert process.returncode == 1
        assert message in process.stderr
    process = vae_lab("generate", "run=run", "logger=none", "pixels=sample", "number=3")
    assert process.returncode == 0, process.stderr
    shutil.rmtree(tmp_path / "outputs")
    assert vae_lab("train", *QUICK, "estimator=autoencoder", "hydra.run.dir=plain").returncode == 0
    process = vae_lab("generate", "run=plain", "logger=none")
    assert process.returncode == 1
    assert "is an autoencoder, which has no p(z) to draw from." in process.stderr
    assert not (tmp_path / "outputs" / "generate").exists() or not list(
        (tmp_path / "outputs/generate").iterdir()
    )


def test_mistakes_leave_nothing(here, runs, tmp_path):
    run = runs[0].name
    for words, message in [
        ([], "run must be given, the directory or the signature of a finished run; or runs=<a sweep>."),
        ([f"run={run}", "number=0"], "number must be at least 1, got 0."),
        ([f"run={run}", "temperature=0"], "temperature must be above 0, got 0."),
        ([f"run={run}", "temperature=nan"], "temperature must be finite, got nan."),
        ([f"run={run}", "pixels=mead"], "pixels must be one of mean, mode, sample, got 'mead'."),
        ([f"run={run}", "by_clas=true"], "by_clas does not exist; did you mean by_class?"),
        (["run=nowhere"], "run=nowhere is neither a run's directory nor a signature"),
    ]:
        process = here("generate", "logger=none", *words)
        assert process.returncode == 1, words
        assert message in process.stderr, (words, process.stderr)
        assert len(process.stderr.strip().splitlines()) == 1, process.stderr
    assert not list((tmp_path / "outputs").glob("generate/*"))
