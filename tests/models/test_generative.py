"""The questions that every model answers of itself, and code that asks them in place of naming classes."""

import ast
import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from conftest import built

import vae_lab
from vae_lab.applications.base import Application
from vae_lab.applications.embed import Embed
from vae_lab.applications.evaluate import Evaluate
from vae_lab.applications.explore import Explore
from vae_lab.applications.generate import Generate
from vae_lab.applications.impute import Impute
from vae_lab.applications.outliers import Outliers
from vae_lab.config.options import options_of
from vae_lab.datasets import MNIST, FreyFace
from vae_lab.errors import UserError
from vae_lab.estimators import IWAE, Reparameterized
from vae_lab.evaluation.exact import exact_log_likelihood
from vae_lab.models.alternatives.base import DirectlyFitted
from vae_lab.models.generative import GenerativeModel, LogLikelihood
from vae_lab.models.likelihoods import Bernoulli, FixedGaussian, ScalarGaussian
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.likelihoods.support import Support
from vae_lab.models.sampling import noise_for, tensor_of
from vae_lab.models.vae import VAE, has_latents
from vae_lab.reproductions.published_curves import class_of, published_name
from vae_lab.runs.result import Result, result_of
from vae_lab.sweep import over_runs as over_runs_module
from vae_lab.sweep.axes import Axis, Point

PACKAGE = Path(vae_lab.__file__).parent
EARLIER = Path(__file__).parents[1] / "runs" / "earlier" / "runs"
WITHOUT_LATENTS = {
    "autoregressive", "bernoulli_mixture", "finite_mixture", "gaussian_mixture", "independent_pixels",
    "pixelcnn", "ppca",
}  # fmt: skip
WITHOUT_PIXELS = {"logistic_regression", "mohamed2020"}
WORDS = {  # without which an option makes no run
    "burda2016_two_layers": "estimator.kl=sampled",
    "logistic_regression": "dataset=breast_cancer",
    "rainforth2018": "model.latent_dim=64",
}
AUTOENCODER = ("estimator=autoencoder", "evaluation.importance_samples=null")


@pytest.fixture(scope="module", params=sorted(options_of("model")))
def option(request):
    """The name of an option of `model`, and the parts of its run."""
    words = [WORDS[request.param]] if request.param in WORDS else []
    return request.param, built(f"model={request.param}", *words)


def test_each_model_answers_what_it_is(option):
    name, parts = option
    model = parts.model
    assert isinstance(model, GenerativeModel)
    assert model.has_latents == has_latents(model) == (name not in WITHOUT_LATENTS)
    assert model.has_latents == isinstance(model, VAE)
    assert model.has_encoder == model.is_amortized == model.has_latents
    assert not model.is_per_datum
    assert model.is_over_pixels == (name not in WITHOUT_PIXELS)
    assert model.support in get_args(Support)
    assert model.levels is None or model.levels >= 2
    assert parts.has_density
    assert (model.log_likelihood is None) == model.has_latents
    assert model.log_likelihood in (None, *get_args(LogLikelihood))
    if model.likelihood is not None:
        of_family = (model.likelihood.support, model.likelihood.levels, model.likelihood.is_over_pixels)
        assert of_family == (model.support, model.levels, model.is_over_pixels)


def test_each_parameter_is_of_the_model_or_of_inference(option):
    _, parts = option
    model = parts.model
    split = [*model.generative_parameters(), *model.inference_parameters()]
    assert {id(each) for each in split} == {id(each) for each in model.parameters()}
    assert len(split) == len(list(model.parameters()))
    assert bool(model.inference_parameters()) == model.has_encoder


def test_each_model_draws_data_or_says_that_it_cannot(option):
    name, parts = option
    model, shape = parts.model.eval(), parts.dataset.shape
    if name in WITHOUT_PIXELS:
        with pytest.raises(ValueError, match="cannot be sampled"):
            model.sample_spec(shape)
        return
    noise = noise_for(model.sample_spec(shape), 3, seed=0, like=tensor_of(model))
    with torch.no_grad():
        assert model.sample(noise).shape == (3, *shape)


def test_log_prob_is_there_without_latent_variables_alone(option):
    _, parts = option
    x = parts.dataset.data.test.x[:3]
    if parts.model.has_latents:
        assert parts.vae is parts.model
        with pytest.raises(NotImplementedError, match="has no log p"):
            parts.model.log_prob(x)
        return
    with torch.no_grad():
        assert parts.model.log_prob(x).shape == (3,)
    name = type(parts.model).__name__
    with pytest.raises(UserError, match=f"^{name} has no latent variables and no bound.$"):
        _ = parts.vae


@pytest.mark.parametrize(
    ("encoder", "answers"),
    [
        ("mlp", (True, True, False, True)),
        ("constant", (True, True, False, False)),
        ("per_datum", (True, False, True, False)),
        ("none", (False, False, False, False)),
    ],
)
def test_a_vae_knows_its_encoder(encoder, answers):
    without = ["estimator=monte_carlo_em", "evaluation=marginal_likelihood"] if encoder == "none" else []
    model = built(f"model/encoder={encoder}", *without).model
    found = (model.has_encoder, model.is_amortized, model.is_per_datum, model.encodes_whole_data)
    assert found == answers


def test_an_autoencoder_has_no_density():
    assert not built(*AUTOENCODER).has_density


def test_the_exact_log_likelihood_is_of_a_standard_normal_prior():
    vae = built("model=linear").vae
    x = vae.decode(torch.zeros(1, 2, vae.latent_dim)).mean[0].detach()
    assert exact_log_likelihood(vae, x).isfinite().all()
    assert vae.prior.is_standard_normal


@pytest.mark.parametrize(
    ("entries", "has_density"),
    [
        ({"selection": "reconstruction"}, False),
        ({"selection": "elbo"}, True),
        ({"selection": "log_likelihood"}, True),
        ({}, True),
        ({"selection": "elbo", "has_density": False}, False),
        ({"selection": "reconstruction", "has_density": True}, True),
    ],
)
def test_a_result_says_whether_there_is_a_density(entries, has_density, tmp_path):
    result = Result.of({"metrics": {}} | entries)
    assert result.has_density == has_density
    assert dict(result) == {"metrics": {}} | entries  # nothing is added to an earlier one
    result.write(tmp_path)
    assert (result_of(tmp_path) | {"notes": []}).has_density == has_density


def test_stored_results_of_the_version_before_have_one():
    found = [result_of(path) for path in EARLIER.iterdir()]
    assert len(found) == 2
    assert all("has_density" not in result and result.has_density for result in found)


def test_a_result_with_another_kind_of_answer_is_damaged():
    with pytest.raises(ValueError, match="not of the kinds"):
        Result.of({"metrics": {}, "has_density": "yes"})


def test_applications_say_whether_they_need_a_density():
    needs = {kind: kind.needs_density for kind in (Embed, Evaluate, Explore, Generate, Impute, Outliers)}
    assert {kind for kind, needed in needs.items() if not needed} == {Embed, Explore}
    assert Application.needs_density


@pytest.mark.parametrize("needed", [True, False])
def test_a_sweep_leaves_autoencoders_out_where_a_density_is_needed(needed, tmp_path, monkeypatch, capsys):
    entries = []
    for label, selection in (("a", "reconstruction"), ("b", "elbo")):
        (tmp_path / label).mkdir()
        Result.of({"metrics": {}, "selection": selection}).write(tmp_path / label)
        facts = {"is_done": True, "is_damaged": False, "point": {"kind": label}, "label": label}
        entries.append(SimpleNamespace(directory=tmp_path / label, **facts))
    made = SimpleNamespace(command="train", entries=entries, roles={"kind": "scientific"}, name="made")
    monkeypatch.setattr(over_runs_module.manifest, "read_manifest", lambda directory: made)
    asked = []

    def over(chosen):
        made.entries = chosen
        return over_runs_module.over_runs(
            "made", ".", list[Axis](), [Point({}, [])], lambda: asked.append(1) or needed
        )[1]

    labels = [point.labels["kind"] for point in over(entries)]
    assert labels == (["b"] if needed else ["a", "b"])
    assert ("1 are autoencoders" in capsys.readouterr().out) == needed
    assert len(asked) == 1
    assert len(over(entries[1:])) == 1
    assert len(asked) == 1  # which would import the command's class


@pytest.mark.parametrize("module", ["vae_lab.estimators", "vae_lab.estimators.iwae"])
def test_a_class_is_known_by_its_name_in_whichever_module(module):
    config = {"estimator._target_": f"{module}.IWAE"}
    assert class_of(config, "estimator", [Reparameterized, IWAE]) is IWAE
    assert class_of(config, "estimator", [Reparameterized]) is None
    assert published_name(config, "estimator", {IWAE: "iwae"}) == "iwae"
    assert published_name(config, "estimator", {Reparameterized: "vae"}) == "IWAE"


def test_a_manifold_has_as_many_images_as_the_paper_shows():
    assert (FreyFace.figure_side, MNIST.figure_side) == (10, 20)


# The source: which classes it names, and where.

SOURCES = {
    ".".join(("vae_lab", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}
CLASSES = {node.name for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
ASKED_FOR = {  # where a class is asked for all the same, and why
    ("vae_lab.training.direct_fit", DirectlyFitted),  # for the type checker alone
    ("vae_lab.evaluation.exact", FixedGaussian),  # a closed form of one variance
    ("vae_lab.evaluation.exact", ScalarGaussian),
    ("vae_lab.applications.outliers.scorer", Bernoulli),  # a closed form of pixels
}


def kinds_asked_for(tree, names):
    """The classes that a module's calls of `isinstance` name, as far as these are names of the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
            for name in ast.walk(node.args[1]):
                value = names.get(name.id) if isinstance(name, ast.Name) else None
                yield from value if isinstance(value, tuple) else get_args(value) or [value]


def names_compared(tree):
    """Class names of the package that stand as strings in comparisons, as keys, or in a `case`."""
    for node in ast.walk(tree):
        parts = []
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict):
            parts = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.MatchValue):
            parts = [node.value]
        for each in (inner for part in parts for inner in ast.walk(part)):
            if isinstance(each, ast.Constant) and each.value in CLASSES:
                yield each.value


def test_no_code_outside_of_models_asks_for_the_class_of_a_model():
    found = {
        (name, kind)
        for name, tree in TREES.items()
        if not name.startswith("vae_lab.models.") and "isinstance" in SOURCES[name].read_text()
        for kind in kinds_asked_for(tree, vars(importlib.import_module(name)))
        if inspect.isclass(kind) and issubclass(kind, GenerativeModel | Likelihood)
    }
    assert found == ASKED_FOR


def test_no_class_name_is_compared_as_a_string():
    assert {name: list(names_compared(tree)) for name, tree in TREES.items() if [*names_compared(tree)]} == {}


def test_what_is_looked_for_is_found():
    source = "x == 'VAE'\ny in ('elbo', 'IWAE')\nz = {'MNIST': 1, 'mnist': 'MNIST'}\nw = 'PPCA'\n"
    assert list(names_compared(ast.parse(source))) == ["VAE", "IWAE", "MNIST"]
    asked = ast.parse("isinstance(a, VAE | PPCA)\nisinstance(b, KINDS)\nisinstance(c, int)\n")
    names = {"VAE": VAE, "KINDS": (Bernoulli, FixedGaussian)}
    assert [kind for kind in kinds_asked_for(asked, names) if kind] == [VAE, Bernoulli, FixedGaussian]
