"""The layout: rooms whose imports go downwards, and mathematics that stands on torch alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vae_lab

PACKAGE = Path(vae_lab.__file__).parent
ROOMS = (  # from the bottom to the top
    "errors", "files", "noise", "numerics", "models", "inference", "estimators", "evaluation", "datasets",
    "probe", "config", "runs", "tracking", "figures", "training", "checks", "trained", "applications",
    "sweep", "reproductions", "cli",
)  # fmt: skip
MATHEMATICS = ("models", "noise", "estimators", "inference", "evaluation", "probe")
SOURCES = {
    ".".join(("vae_lab", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(name):
    """The modules of the package that a module imports, within its functions too."""
    for node in ast.walk(ast.parse(SOURCES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in SOURCES)
        elif isinstance(node, ast.ImportFrom) and node.module in SOURCES:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in SOURCES else node.module


def room(name):
    return name.split(".")[1] if "." in name else ""


GRAPH = {name: sorted(set(imports(name)) - {name, "vae_lab"}) for name in SOURCES}


def circle(graph):
    """A circle of a graph, or None."""
    done, way = set(), []

    def follow(name):
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return None
        way.append(name)
        found = next((each for other in graph.get(name, ()) if (each := follow(other))), None)
        way.pop()
        done.add(name)
        return found

    return next((found for name in sorted(graph) if (found := follow(name))), None)


def test_the_root_holds_rooms_alone():
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert files == {"__init__.py", "__main__.py", "errors.py"}
    assert folders == set(ROOMS) - {"errors"}


def test_no_import_goes_upwards():
    order = {name: place for place, name in enumerate(ROOMS)}
    upwards = [
        (name, other)
        for name, others in GRAPH.items()
        for other in others
        if room(name) in order and order[room(other)] > order[room(name)]
    ]
    assert upwards == []


def test_modules_import_in_no_circle():
    assert circle(GRAPH) is None


def test_folders_side_by_side_import_in_no_circle():
    """A folder and those inside it are one."""

    def folder(name):
        return name if SOURCES[name].name == "__init__.py" else name.rpartition(".")[0]

    edges = {(folder(name), folder(other)) for name, others in GRAPH.items() for other in others}
    graph = {}
    for one, other in edges:
        if not f"{one}.".startswith(f"{other}.") and not f"{other}.".startswith(f"{one}."):
            graph.setdefault(one, []).append(other)
    assert circle(graph) is None


def test_a_circle_is_found():
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"]}) is None


def test_a_configuration_ends_at_the_settings():
    """Rooms between the command line and the mathematics see no `cfg`, but where it becomes settings."""
    rooms = (
        "datasets",
        "tracking",
        "figures",
        "training",
        "checks",
        "trained",
        "applications",
        "reproductions",
    )
    words = {"cfg", "DictConfig", "OmegaConf", "compose"}
    readers = {
        name
        for name, path in SOURCES.items()
        if room(name) in (*MATHEMATICS, *rooms)
        and words & {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    }
    names = ("training", "applications", "applications.gradients", "applications.check")
    settings = {f"vae_lab.{name}.settings" for name in names}
    stored = {"vae_lab.trained.load", "vae_lab.trained.data"}  # a run's frozen one, and an option's by name
    assert readers == settings | stored


@pytest.mark.parametrize("name", MATHEMATICS)
def test_mathematics_imports_no_lightning_hydra_or_tracker(name):
    modules = [module for module in SOURCES if room(module) == name]
    program = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "heavy = ('pytorch_lightning', 'hydra', 'omegaconf', 'wandb')\n"
        "print([each for each in heavy if each in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_what_forks_has_started_no_thread():
    """Polars starts some when it is imported, for which a forked child would wait for ever."""
    program = (
        "import sys, vae_lab.sweep.launchers.forkserver as server; server.imports(); "
        "print('polars' in sys.modules, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "False True\n"


def test_tests_mirror_the_rooms():
    folders = {path.name for path in Path(__file__).parent.iterdir() if list(path.glob("test_*.py"))}
    assert folders <= {*ROOMS, "benchmarks"}
