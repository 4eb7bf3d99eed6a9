"""The map in docs/extending.md: its rooms, the files that it names, and those that each addition takes."""

import importlib
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY
from omegaconf import OmegaConf
from test_rooms import ROOMS

import vae_lab
from vae_lab.config.commands import COMMANDS
from vae_lab.files.paths import CONF
from vae_lab.sweep.figures.kinds import FIGURES

INIT = Path(vae_lab.__file__).read_text()
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"^\| an? (.*?) \| (\d) \|", PAGE, re.MULTILINE))
APPLICATIONS = [name for name, command in COMMANDS.items() if command.module == "application"]
PARTS = {  # the package, the groups and the folder of tests of each addition that is a class
    "estimator": ("estimators", ["estimator"], "estimators"),
    "part of a baseline": ("estimators.baselines", ["estimator/baseline"], "estimators"),
    "posterior": ("models.posteriors", ["model/posterior"], "models"),
    "prior": ("models.priors", ["model/prior"], "models"),
    "likelihood": ("models.likelihoods", ["model/likelihood"], "models"),
    "network": ("models.networks", ["model/encoder", "model/decoder", "model/network"], "models"),
    "dataset": ("datasets", ["dataset"], "datasets"),
    "model that is no VAE": ("models.alternatives", ["model"], "models"),
}


def options(groups, package):
    """The names of the options by the class of a package that they are of."""
    found = {}
    for path in (path for group in groups for path in (CONF / group).glob("*.yaml")):
        for name in re.findall(rf"vae_lab\.{re.escape(package)}\.(\w+)", path.read_text()):
            found.setdefault(name, []).append(path.stem)
    return found


def test_the_picture_has_the_rooms_in_their_order():
    picture = PAGE.split("```")[1]
    assert re.findall(r"^ (\w+)  ", picture, re.MULTILINE) == [name for name in ROOMS[:0:-1]]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_file_that_a_page_names_is_there(page):
    text = page.read_text()
    for name in re.findall(r"`((?:vae_lab|conf|tests|docs|sweeps|benchmarks)/[\w./-]*)`", text):
        assert (REPOSITORY / name).exists(), name
    for name in re.findall(rf"`((?:{'|'.join(ROOMS)})/[\w/]+\.py)`", text):
        assert (REPOSITORY / "vae_lab" / name).is_file(), name


@pytest.mark.parametrize("addition", PARTS)
def test_a_class_takes_four_files(addition):
    package, groups, tests = PARTS[addition]
    folder = REPOSITORY / "vae_lab" / package.replace(".", "/")
    init = importlib.import_module(f"vae_lab.{package}")
    known = "\n".join(path.read_text() for path in (REPOSITORY / "tests" / tests).glob("*.py"))
    classes = options(groups, package)
    assert classes
    for name, of_class in classes.items():
        assert Path(importlib.import_module(getattr(init, name).__module__).__file__).parent == folder, name
        assert name in init.__all__, name
        assert any(re.search(rf"\b{word}\b", known) for word in (name, *of_class)), name
    assert int(FILES[addition]) == len(("module", "export", "option", "test"))


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_takes_five_places(name):
    places = [f"vae_lab/applications/{name}/__init__.py", f"conf/{name}.yaml", f"docs/{name}.md"]
    places += [f"tests/applications/test_{name}.py", "vae_lab/config/commands.py"]
    where = {"evaluate": {"docs/evaluate.md": "docs/evaluation.md"}}.get(name, {})
    for place in places:
        assert (REPOSITORY / where.get(place, place)).is_file(), place
    target = OmegaConf.load(CONF / f"{name}.yaml")["_target_"]
    assert target.startswith(f"vae_lab.applications.{name}.")
    assert int(FILES["application of a trained model"]) == len(places)


def test_a_figure_of_sweeps_is_a_function_and_a_line():
    for place in FIGURES.values():
        module, name = place.split(":")
        assert callable(getattr(importlib.import_module(module), name))
    assert int(FILES["figure of sweeps"]) == len(("module", "line"))


def test_the_package_offers_the_bases_of_own_parts():
    declared = set(re.findall(r"\w+", " ".join(re.findall(r"^    from .* import (.*)$", INIT, re.MULTILINE))))
    assert declared == set(vae_lab.__all__) == set(vae_lab._PLACES)
    for name in vae_lab.__all__:
        assert callable(getattr(vae_lab, name)), name
    assert set(vae_lab.__all__) <= set(dir(vae_lab))
    with pytest.raises(AttributeError, match="module 'vae_lab' has no attribute 'Nothing'"):
        _ = vae_lab.Nothing
