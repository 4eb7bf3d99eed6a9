"""`vae-lab explore`: paths, codes and planes against closed forms, and the command as it is typed."""

import math
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from conftest import result
from PIL import Image

import vae_lab as package
from vae_lab.applications.explore import Explore
from vae_lab.applications.explore.codes import Dimensions, encode
from vae_lab.applications.explore.density_regions import density_levels
from vae_lab.applications.explore.figures.interpolations import End, interpolations
from vae_lab.applications.explore.figures.traversals import Scale, traversals
from vae_lab.applications.explore.interpolation import linear, spherical, traversal
from vae_lab.applications.explore.projection import knn_accuracy, project
from vae_lab.checks.cases import gaussian_batch, hierarchical_vae, linear_gaussian_vae
from vae_lab.evaluation.latent_space import latent_space
from vae_lab.models.priors import StandardNormal
from vae_lab.noise import NoiseSource

QUICK = ["logger=none", "trainer.max_samples=2000", "trainer.progress=false"]
FIGURES = {"traversals.png", "interpolation.png", "aggregate_posterior.png"}


def two_vectors(dimensions=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, dimensions, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("way", [linear, spherical])
@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_a_path_begins_and_ends_at_its_ends(way, dimensions):
    start, end = two_vectors(dimensions)
    path = way(start, end, steps=7)
    assert path.shape == (7, dimensions)
    assert torch.allclose(path[0], start, atol=1e-14)
    assert torch.allclose(path[-1], end, atol=1e-14)
    assert torch.allclose(way(end, start, steps=7), path.flip(0))
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        way(start, end, steps=1)


def test_the_line_has_its_middle_halfway_and_equal_steps():
    start, end = two_vectors()
    path = linear(start, end, steps=5)
    assert torch.allclose(path[2], (start + end) / 2)
    assert torch.allclose(path.diff(dim=0), ((end - start) / 4).expand(4, 5))


def test_the_arc_keeps_the_norm_and_turns_evenly():
    start, end = two_vectors()
    end = end * start.norm() / end.norm()
    path = spherical(start, end, steps=9)
    assert torch.allclose(path.norm(dim=1), start.norm().expand(9))
    cosines = (path[1:] * path[:-1]).sum(1) / start.norm() ** 2
    angle = torch.arccos((start @ end) / start.norm() ** 2)
    assert torch.allclose(cosines.arccos(), (angle / 8).expand(8))
    assert linear(start, end, steps=9)[4].norm() == pytest.approx(start.norm() * (angle / 2).cos())


@pytest.mark.parametrize(
    "factor", [1.0, 2.0, -1.0, 0.0, 1 + 1e-9], ids=["same", "parallel", "opposite", "zero", "near"]
)
def test_without_one_arc_it_is_the_line(factor):
    start, _ = two_vectors()
    assert torch.allclose(spherical(start, factor * start, 6), linear(start, factor * start, 6))


def test_a_traversal_moves_one_dimension_alone():
    around, _ = two_vectors()
    values = torch.linspace(-3, 3, 4, dtype=torch.float64)
    path = traversal(around, 3, values)
    assert torch.equal(path[:, 3], values)
    others = [0, 1, 2, 4]
    assert torch.equal(path[:, others], around[others].expand(4, 4))


def coded(vae, batch, most=None, **arguments):
    """Codes of a batch that comes in pieces of 7."""
    kept = torch.arange(len(batch.x))[:most]
    pieces = [batch.take(piece) for piece in torch.arange(len(batch.x)).split(7)]
    return encode(pieces, lambda batch: vae, NoiseSource(3), kept, **arguments)


def weights(vae):
    """Matrix and offset of the mean of q."""
    layer = vae.encoder.layers[0]
    return layer.weight[: vae.latent_dim].detach(), layer.bias[: vae.latent_dim].detach()


def test_codes_of_a_linear_gaussian_model_are_the_affine_map():
    vae, batch = linear_gaussian_vae(), gaussian_batch(50)
    weight, bias = weights(vae)
    codes = coded(vae, batch, most=20)
    means = batch.x @ weight.T + bias
    assert codes.numbers.tolist() == list(range(20))
    assert torch.allclose(codes.z, means[:20])
    assert torch.allclose(codes.dimensions.means, means.mean(0))
    assert torch.allclose(codes.dimensions.variances, means.var(0, correction=0))
    assert torch.allclose(codes.dimensions.kl, vae.encode(batch).kl(vae.prior).mean(0).detach())


def test_samples_of_codes_have_the_spread_of_q():
    vae, batch = linear_gaussian_vae(), gaussian_batch(500)
    q = vae.encode(batch)
    z = coded(vae, batch, which="sample").z
    standardised = ((z - q.mean) / q.log_scale.exp()).detach().flatten()
    size = len(standardised)
    assert abs(standardised.mean()) < 4 / math.sqrt(size)  # four standard errors
    assert abs(standardised.var() - 1) < 4 * math.sqrt(2 / size)


def test_principal_components_of_the_aggregate_posterior_in_closed_form():
    vae, batch = linear_gaussian_vae(data_dim=6, latent_dim=4), gaussian_batch(200, data_dim=6)
    weight, _ = weights(vae)
    values, vectors = torch.linalg.eigh(weight @ batch.x.T.cov() @ weight.T)
    values, vectors = values.flip(0), vectors.flip(1)
    plane = project(coded(vae, batch).z, "pca")
    expected = (batch.x - batch.x.mean(0)) @ weight.T @ vectors[:, :2]
    signs = (plane.coordinates * expected).sum(0).sign()
    assert torch.allclose(plane.coordinates, expected * signs)
    assert plane.explained == pytest.approx((values[:2] / values.sum()).tolist())


@pytest.mark.parametrize("make", [linear_gaussian_vae, hierarchical_vae])
def test_dimensions_are_measured_as_in_an_evaluation(make):
    vae = make()
    x = (torch.rand(40, 1, 2, 2, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    batch = gaussian_batch(40) if make is linear_gaussian_vae else gaussian_batch(40)._replace(x=x)
    statistics, kl = latent_space(vae, batch, NoiseSource(3))
    dimensions = coded(vae, batch).dimensions
    assert torch.allclose(dimensions.kl, kl.detach())
    assert int(dimensions.active.sum()) == statistics["active_units"].value


def test_dimensions_are_in_the_order_of_their_kl_and_inactive_ones_last():
    kl, variances = torch.tensor([0.1, 2.0, 1.0, 3.0]), torch.tensor([0.5, 0.2, 0.9, 0.001])
    assert Dimensions(kl, variances, torch.zeros(4)).order(4) == [1, 2, 0, 3]
    assert Dimensions(None, variances, torch.zeros(4)).order(4) == [2, 0, 1, 3]
    assert Dimensions(kl, variances, torch.zeros(4)).order(2) == [1, 0]


def test_an_autoencoder_has_no_kl():
    assert coded(linear_gaussian_vae(), gaussian_batch(10), has_prior=False).dimensions.kl is None


def test_regions_of_a_standard_normal_are_circles():
    prior = StandardNormal(2)
    samples = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    masses = (0.5, 0.95)
    for mass, level in zip(masses, density_levels(prior, samples, masses), strict=True):
        error = math.sqrt(mass / (1 - mass) / len(samples))  # of the quantile of -log p, which is exponential
        assert abs(level - (math.log(1 - mass) - math.log(2 * math.pi))) < 4 * error


def test_neighbours_are_others():
    assert knn_accuracy(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1])) == 0
    points = torch.cat([torch.zeros(12, 2), torch.ones(12, 2)]).double()
    labels = torch.tensor([0] * 12 + [1] * 11 + [0])
    assert knn_accuracy(points, labels) == pytest.approx(23 / 24)


@pytest.mark.parametrize(("projection", "shares"), [("pca", (0.0, 0.0)), ("tsne", ())])
def test_codes_that_are_all_the_same(projection, shares):
    plane = project(torch.ones(5, 3), projection)
    assert plane.coordinates.tolist() == [[0.0, 0.0]] * 5
    assert plane.explained == shares


def test_what_the_figures_decode(tmp_path):
    decoded = []

    def decode(z):
        decoded.append(z)
        return z[:, :1].sigmoid().reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)

    middle, std = torch.tensor([0.0, 10.0]), torch.tensor([1.0, 2.0])
    scale = Scale(middle, lambda d, units: middle[d] + units * std[d], "unit")
    around = torch.tensor([5.0, 7.0])
    path = tmp_path / "traversals.png"
    traversals(decode, around, scale, [(1, "said", True), (0, "said", False)], 3.0, 3, "title", path)
    assert decoded.pop().tolist() == [[5, 4], [5, 10], [5, 16], [-3, 7], [0, 7], [3, 7]]
    start, end = (End("a", 1, torch.zeros(1, 4, 4), z) for z in torch.tensor([[3.0, 0.0], [0.0, 3.0]]))
    interpolations(decode, start, end, 3, "title", tmp_path / "interpolation.png")
    line, arc = decoded
    assert line.tolist() == [[3, 0], [1.5, 1.5], [0, 3]]
    assert torch.allclose(arc.norm(dim=1), torch.tensor(3.0))
    assert {file.name for file in tmp_path.iterdir()} == {"traversals.png", "interpolation.png"}


@pytest.fixture(scope="module")
def once(command_line, tmp_path_factory):
    """A folder with a sweep over latent sizes, made once."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["train", "-m", "sweep.name=sizes", "model.latent_dim=2,8", *QUICK]
    process = command_line(*words, cwd=folder)
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture
def trained(once, tmp_path):
    """The same in a folder of the test's own, by latent size."""
    shutil.copytree(once / "outputs", tmp_path / "outputs")
    runs = (tmp_path / "outputs" / "runs").iterdir()
    return {result(run)["definition"]["model.latent_dim"]: run for run in runs}


def explored(vae_lab, run, *words, to):
    """Explores a run; gives the folder and what was printed."""
    process = vae_lab("explore", f"run={run}", "logger=none", *words, f"hydra.run.dir={to}")
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return to, process.stdout


def pictures(folder):
    return {path.name for path in folder.glob("*.png")}


def test_two_dimensions(vae_lab, trained, tmp_path):
    folder, printed = explored(vae_lab, trained[2], to=tmp_path / "found")
    assert pictures(folder) == FIGURES | {"manifold.png"}
    model = package.load(trained[2])
    test = model.data.test
    table = pl.read_parquet(folder / "coordinates.parquet")
    assert table.columns == ["index", "label", "first", "second"]
    assert table["index"].to_list() == list(range(360))
    assert table["label"].to_list() == test.labels.tolist()
    means = model.encode(test.x).mean.double().numpy()
    assert np.allclose(table[["first", "second"]].to_numpy(), means, atol=1e-5)
    metrics = result(folder)["metrics"]
    own = result(trained[2])["metrics"]
    assert metrics["active_units"] == own["test/active_units"]
    kl = [metrics[f"kl_per_dimension/{d}"] for d in range(2)]
    assert sum(kl) == pytest.approx(own["test/kl"], rel=1e-5)
    assert printed.index(f"z_{kl.index(max(kl))}") < printed.index(f"z_{kl.index(min(kl))}")
    assert not any(name.startswith("explained_variance") for name in metrics)
    again = vae_lab("explore", f"run={trained[2]}", "logger=none", f"hydra.run.dir={folder}")
    assert "done already" in again.stdout
    assert again.stdout.splitlines()[1:] == printed.splitlines()


def test_eight_dimensions(vae_lab, trained, tmp_path):
    words = ["max_data=100", "around=5", "reach=2", "steps=4", "between=[3,17]", "codes=sample"]
    folder, printed = explored(vae_lab, trained[8], *words, to=tmp_path / "pca")
    assert pictures(folder) == FIGURES
    table = pl.read_parquet(folder / "coordinates.parquet")
    labels = package.load(trained[8]).data.test.labels
    assert len(table) == 100
    assert table["label"].to_list() == labels[table["index"].to_list()].tolist()
    metrics = result(folder)["metrics"]
    assert 0 < metrics["explained_variance/2"] <= metrics["explained_variance/1"] < 1
    assert "k-NN accuracy" in printed
    train, _ = explored(vae_lab, trained[8], "projection=tsne", "split=train", to=tmp_path / "tsne")
    other = result(train)["metrics"]
    assert len(pl.read_parquet(train / "coordinates.parquet")) == 1237
    assert "explained_variance/1" not in other
    assert 0 <= other["knn_accuracy"] <= 1


def test_the_dimensions_are_those_of_an_evaluation(vae_lab, trained, tmp_path):
    folder, _ = explored(vae_lab, trained[8], to=tmp_path / "found")
    few = ["measures.importance_samples=[]", "measures.gap=0", f"hydra.run.dir={tmp_path / 'evaluated'}"]
    process = vae_lab("evaluate", f"run={trained[8]}", "logger=none", *few)
    assert process.returncode == 0, process.stderr
    found, evaluated = (result(each)["metrics"] for each in (folder, tmp_path / "evaluated"))
    for d in range(8):
        name = f"kl_per_dimension/{d}"
        assert found[name] == pytest.approx(evaluated[name], rel=1e-5)


def test_between_images(vae_lab, trained, tmp_path):
    model = package.load(trained[2])
    test = model.data.test
    for name, image in zip("ab", (255 * test.x[[3, 17], 0]).byte().numpy(), strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    files, _ = explored(vae_lab, trained[2], "between=[a.png,b.png]", "steps=3", to=tmp_path / "files")
    mixed, _ = explored(vae_lab, trained[2], "between=[3,b.png]", "steps=3", to=tmp_path / "mixed")
    assert pictures(files) == pictures(mixed) == FIGURES | {"manifold.png"}
    prepared = Explore(between=[str(tmp_path / "a.png"), 17]).prepare(model)
    assert [end.name for end in prepared.ends] == ["a.png", "test 17"]
    assert torch.equal(prepared.ends[0].x, test.x[3:4])  # black and white images are what they were
    assert torch.equal(prepared.ends[1].x, test.x[17:18])
    assert [end.label for end in prepared.ends] == [None, test.labels[17]]


def test_two_data_at_random_are_of_two_classes(trained):
    model = package.load(trained[2])
    chosen = set()
    for seed in range(30):
        model.noise = NoiseSource(seed)
        first, second = Explore().prepare(model).ends
        assert first.label != second.label
        assert model.data.test.labels[first.position] == first.label
        again = Explore().prepare(model).ends
        assert [end.position for end in again] == [first.position, second.position]
        chosen.add(first.position)
    assert len(chosen) > 20


def test_all_runs_of_a_sweep(vae_lab, trained, tmp_path):
    process = vae_lab("explore", "runs=sizes", "logger=none", "steps=3")
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "outputs" / "sweeps" / "sizes-explore"
    table = pl.read_csv(folder / "table.csv")
    assert table["latent_dim"].to_list() == [2, 8]
    runs = pl.read_parquet(folder / "runs.parquet")
    assert {"active_units", "knn_accuracy", "kl_per_dimension/7"} <= set(runs.columns)
    found = list((tmp_path / "outputs" / "explore").iterdir())
    assert sorted(len(pictures(each)) for each in found) == [3, 4]


KINDS = {
    "two_layers": (["model=burda2016_two_layers", "estimator.kl=sampled"], FIGURES, "100 dimensions that"),
    "mixture": (
        ["model/prior=gaussian_mixture", "estimator.kl=sampled", "model.latent_dim=2"],
        FIGURES,
        "manifold.png is left out: needs a standard normal prior, and this model has GaussianMixture",
    ),
    "table": (
        ["model/encoder=per_datum", "evaluation.fit.num_steps=5", "trainer.evaluate_at=end"],
        FIGURES,
        "active units and KL are those of 50 of the 360 data",
    ),
    "autoencoder": (["estimator=autoencoder", "model.latent_dim=2"], FIGURES, "an autoencoder has no p(z)"),
    "antithetic": (
        ["noise=antithetic", "estimator.num_samples=2", "model.latent_dim=2"],
        FIGURES | {"manifold.png"},
        "k-NN accuracy",
    ),
    "line": (
        ["model.latent_dim=1"],
        FIGURES - {"aggregate_posterior.png"},
        "one latent dimension makes no plane",
    ),
    "vectors": (
        ["dataset=array", "dataset.path=x.npy", "model=linear", "model/likelihood=gaussian_scalar"]
        + ["model.latent_dim=2"],
        FIGURES,
        "manifold.png is left out: the data are no images",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_models(vae_lab, tmp_path, kind):
    words, figures, note = KINDS[kind]
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32))
    process = vae_lab("train", *QUICK, *words, "hydra.run.dir=model")
    assert process.returncode == 0, process.stderr
    folder, printed = explored(vae_lab, "model", "max_data=50", to=tmp_path / "found")
    assert pictures(folder) == figures
    assert note in printed
    metrics = result(folder)["metrics"]
    assert ("kl_per_dimension/0" in metrics) == (kind not in ("mixture", "autoencoder"))
    assert metrics["active_units"] >= 0
    assert len(pl.read_parquet(folder / "coordinates.parquet")) == (40 if kind == "vectors" else 50)


def test_models_that_cannot(vae_lab, tmp_path):
    chains = ["model/encoder=none", "estimator=monte_carlo_em", "evaluation=marginal_likelihood"]
    for words, message in [
        (["model=ppca", "dataset.binarize=none", "logger=none"], "a PPCA, which has no latent variables"),
        ([*QUICK, *chains, "model.latent_dim=2"], "has no q(z|x) (model/encoder=none)"),
    ]:
        process = vae_lab("train", *words, "hydra.run.dir=model", "rerun=true")
        assert process.returncode == 0, process.stderr
        process = vae_lab("explore", "run=model", "logger=none")
        assert process.returncode == 1
        assert message in process.stderr
        assert len(process.stderr.strip().splitlines()) == 1
        assert not list((tmp_path / "outputs").glob("explore/*"))
        shutil.rmtree(tmp_path / "model")


def test_mistakes_leave_nothing(here, vae_lab, trained, tmp_path):
    Image.new("L", (9, 8)).save(tmp_path / "large.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "colour.png")
    Image.new("L", (8, 8)).save(tmp_path / "good.png")
    (tmp_path / "corrupt.png").write_bytes(b"\x89PNG no image")
    np.save(tmp_path / "many.npy", np.zeros((4, 8, 8), np.float32))
    for words, message in [
        (["between=[3]"], "between must name two data, such as [3,17] or [a.png,b.png], got [3]."),
        (
            ["between=[3,360]"],
            "between must be at least 0 and below 360, the size of the test part, got 360.",
        ),
        (["around=400"], "around must be at least 0 and below 360, the size of the test part, got 400."),
        (["between=[good.png,large.png]"], "has 9x8 pixels, and the model was trained on 8x8"),
        (["between=[good.png,corrupt.png]"], "corrupt.png cannot be read as an image"),
        (["between=[good.png,many.npy]"], "between=many.npy has 4 data; name a file of one, or a number."),
        (["steps=1"], "steps must be at least 2, got 1."),
        (["reach=0"], "reach must be above 0, got 0"),
        (["max_data=2"], "max_data must be at least 3, got 2."),
        (["projection=umap"], "projection must be one of pca, tsne, got 'umap'."),
    ]:
        process = here("explore", f"run={trained[8].name}", "logger=none", *words)
        assert process.returncode == 1, words
        assert message in process.stderr, (words, process.stderr)
        assert len(process.stderr.strip().splitlines()) == 1, process.stderr
    assert not list((tmp_path / "outputs").glob("explore/*"))
    process = vae_lab(
        "explore", f"run={trained[8].name}", "logger=none", "between=[large.png,colour.png]", "resize=true"
    )
    assert process.returncode == 0, process.stderr
