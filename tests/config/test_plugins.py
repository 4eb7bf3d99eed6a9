"""Plug-ins: options, sweeps and classes of a user's own, as in a folder or a package of theirs."""

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from conftest import REPOSITORY, composed, environment, only

from vae_lab.config import plugins, trust
from vae_lab.config.options import groups, options_of
from vae_lab.runs.signature import definition
from vae_lab.sweep.launchers import slurm

PAGE = (REPOSITORY / "docs" / "your-own.md").read_text()
MODULE, OPTION, SWEEP, TOML = re.findall(r"```(?:python|yaml|toml)\n(.*?)```", PAGE, re.DOTALL)
QUICK = ("logger=none", "trainer.max_samples=2000", "trainer.progress=false")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def plugin(folder, module="scaled"):
    """A plug-in in a folder: a module, an option and a sweep."""
    write(folder / f"{module}.py", MODULE)
    write(folder / "conf" / "estimator" / "scaled.yaml", OPTION.replace("scaled.", f"{module}."))
    write(folder / "sweeps" / "scales.yaml", SWEEP)
    return folder


def package(site, name="scaled_package"):
    """A package that is installed, with an entry point."""
    write(site / name / "__init__.py", "")
    write(site / name / "mine.py", MODULE)
    write(site / name / "conf" / "estimator" / "scaled.yaml", OPTION.replace("scaled.", f"{name}.mine."))
    write(site / f"{name}-1.0.dist-info" / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    write(site / f"{name}-1.0.dist-info" / "entry_points.txt", f"[vae_lab.conf]\n{name} = {name}\n")
    return site


@pytest.fixture(params=["file", "variable", "variable with a package", "entry point"])
def found(request, tmp_path, monkeypatch):
    """A plug-in that is found in one of the ways; gives the environment of command lines that find it."""
    monkeypatch.chdir(tmp_path)
    if request.param == "file":
        plugin(tmp_path / "mine")
        write(tmp_path / "vae_lab.toml", TOML)
        return {}
    if request.param == "variable":
        return {"VAE_LAB_PLUGINS": str(plugin(tmp_path / "elsewhere" / "mine"))}
    if request.param == "variable with a package":
        package(tmp_path / "elsewhere" / "mine")
        return {"VAE_LAB_PLUGINS": str(tmp_path / "elsewhere" / "mine" / "scaled_package")}
    return {"PYTHONPATH": str(package(tmp_path / "site"))}


@pytest.fixture
def run(found, vae_lab, tmp_path):
    """Runs a command line that finds the plug-in, where that is installed in an interpreter of its own."""
    if "PYTHONPATH" not in found:
        return partial(vae_lab, env=found)
    program = str(Path(sys.executable).with_name("vae-lab"))
    settings = {"cwd": tmp_path, "env": environment() | found, "capture_output": True, "text": True}
    return lambda *words: subprocess.run([program, *words], check=False, **settings)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A plug-in of this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAE_LAB_PLUGINS", str(plugin(tmp_path / "mine")))
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugins.activate()
    return tmp_path / "mine"


def test_its_options_are_as_ours(run, tmp_path):
    trained = run("train", "estimator=scaled", *QUICK)
    assert trained.returncode == 0, trained.stderr
    result = json.loads((only(tmp_path / "outputs" / "runs") / "metrics.json").read_text())
    assert result["estimator"] == "Scaled"
    target = result["definition"]["estimator._target_"]
    assert target in ("scaled.Scaled", "scaled_package.mine.Scaled")
    assert any(name.endswith(("mine.py", "scaled.py")) for name in result["code"]["sources"])
    assert "relax, reparameterized, " in (usage := run("train", "--help").stdout)
    assert "rloo, scaled, score_function, " in usage
    near = run("train", "estimator=scalde")
    assert "estimator=scalde is not an option; did you mean scaled?" in near.stderr
    measured = run(
        *("gradients", "at=0", "+estimator@estimators.mine=scaled", "estimators=pathwise"),
        *("probe.num_replicates=4", "logger=none"),
    )
    assert measured.returncode == 0, measured.stderr
    assert "\nmine " in measured.stdout


@pytest.mark.slow
def test_its_sweeps_are_as_ours(vae_lab, tmp_path, mine):
    listed = vae_lab("sweep").stdout
    assert "scales" in listed
    process = vae_lab("sweep", "scales")
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "outputs" / "sweeps" / "scales"
    assert "Does the scale of a gradient matter to Adam?" in (folder / "table.md").read_text()
    assert "scales: 4 done" in vae_lab("status", "scales").stdout
    write(tmp_path / "my questions (1)" / "again.yaml", SWEEP)
    again = vae_lab("sweep", "my questions (1)/again.yaml", "seed=0")
    assert again.returncode == 0, again.stderr
    assert "again: 2 runs" in again.stdout
    assert "Does the scale" in (tmp_path / "outputs" / "sweeps" / "again" / "table.md").read_text()
    assert len(list((tmp_path / "outputs" / "runs").iterdir())) == 4  # the runs of the one are the other's


def test_a_run_of_it_is_loaded_in_python(tmp_path):
    plugin(tmp_path / "mine")
    write(tmp_path / "vae_lab.toml", TOML)
    environ = {key: value for key, value in environment().items() if key != "VAE_LAB_PLUGINS"}
    program = str(Path(sys.executable).with_name("vae-lab"))
    settings = {"cwd": tmp_path, "env": environ, "capture_output": True, "text": True, "check": True}
    subprocess.run([program, "train", "estimator=scaled", *QUICK], **settings)
    name = only(tmp_path / "outputs" / "runs").name
    text = f"import vae_lab; print(tuple(vae_lab.load({name!r}).sample(2).shape))"
    assert subprocess.run([sys.executable, "-c", text], **settings).stdout == "(2, 1, 8, 8)\n"


def test_a_class_of_a_plugin_enters_a_signature_by_its_path(mine):
    assert definition(composed("estimator=scaled"))["estimator._target_"] == "scaled.Scaled"
    assert definition(composed())["estimator._target_"] == "Reparameterized"


def test_groups_and_options_are_joined(mine):
    write(mine / "conf" / "callbacks" / "mine.yaml", "")
    assert {"scaled", "rloo"} <= set(options_of("estimator"))
    assert {"none", "mine"} <= set(options_of("callbacks"))
    assert "estimator" in groups()


def test_jobs_of_slurm_find_it(mine):
    assert f"export VAE_LAB_PLUGINS={mine}" in slurm._exports()


def test_completion_offers_its_options_and_its_sweeps(vae_lab, mine):
    for line, offered in (
        ("vae-lab train estimator=sca", "estimator=scaled"),
        ("vae-lab sweep sca", "scales"),
    ):
        asked = {"COMP_LINE": line, "COMP_POINT": str(len(line))}
        assert offered in vae_lab("-sc", "query=bash", env=asked).stdout


def test_without_it_the_laboratory_is_as_before(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAE_LAB_PLUGINS", raising=False)
    assert plugins.plugins() == plugins.activate() == ()
    assert plugins.VARIABLE not in trust.exported()
    assert "scaled" not in options_of("estimator")


def broken(folder):
    write(folder / "boom.py", "import nothing_of_this_name\n")
    write(folder / "conf" / "estimator" / "boom.yaml", "_target_: boom.Boom\n")


def without_target(folder):
    write(folder / "conf" / "estimator" / "boom.yaml", "num_samples: 1\n")


def no_estimator(folder):
    write(folder / "boom.py", "class Boom:\n    pass\n")
    write(folder / "conf" / "estimator" / "boom.yaml", "_target_: boom.Boom\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (broken, "estimator._target_=boom.Boom cannot be imported: No module named 'nothing_of_this_name'."),
        (without_target, "estimator._target_ is missing: the class that the other keys are arguments of."),
        (no_estimator, "estimator must be Estimator, got a node with _target_=boom.Boom."),
    ],
)
def test_an_option_that_is_none(vae_lab, tmp_path, make, message):
    make(tmp_path / "mine")
    env = {"VAE_LAB_PLUGINS": "mine"}
    process = vae_lab("train", "estimator=boom", env=env)
    assert process.stderr == f"vae-lab train: {message}\n"
    assert vae_lab("train", *QUICK, env=env).returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere/", None, "there is no folder nowhere/ (seen from "),
        ("nopackage", None, "there is no folder and no package nopackage; install it, or name its folder"),
        ("empty", {"empty/readme.txt": ""}, "empty is no plug-in; a plug-in holds conf/ or sweeps/"),
        ("ours", {"ours/conf/estimator/rloo.yaml": ""}, "rename the file"),
        ("ours", {"ours/sweeps/smoke.yaml": ""}, "rename the file"),
        (
            ".",
            {"vae_lab.toml": "plugins = 3", "conf/a/b.yaml": ""},
            'must hold plugins = ["folder or package"',
        ),
        (".", {"vae_lab.toml": "plugins = [", "conf/a/b.yaml": ""}, "vae_lab.toml cannot be read ("),
    ],
)
def test_one_that_cannot_be_used_is_left_out(vae_lab, tmp_path, name, content, message):
    for path, text in (content or {}).items():
        write(tmp_path / path, text)
    process = vae_lab("train", *QUICK, env={"VAE_LAB_PLUGINS": name})
    assert process.returncode == 0
    (note,) = process.stderr.splitlines()
    assert note.startswith("note: ")
    assert message in note
    assert note.endswith("; this plug-in is left out.")


def test_two_of_a_name(vae_lab, tmp_path):
    for folder in ("one", "two"):
        plugin(tmp_path / folder, module=f"of_{folder}")
    env = {"VAE_LAB_PLUGINS": os.pathsep.join(("one", "two"))}
    process = vae_lab("train", "estimator=scaled", *QUICK, env=env)
    assert process.returncode == 0
    first, second = (tmp_path / folder / "conf" / "estimator" / "scaled.yaml" for folder in ("one", "two"))
    assert process.stderr == (
        f"note: {second} has the name of {first}; rename the file; this plug-in is left out.\n"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nowhere.yaml", None, "there is no file nowhere.yaml, which would be a sweep."),
        ("a.yaml", "a: [", "a.yaml cannot be read as a configuration ("),
        (
            "a.yaml",
            "sweep: {}\nestimator: {_target_: os.system}",
            "estimator._target_=os.system is neither of vae",
        ),
        ("a.yaml", "sweep: {}\nhydra: {run: {dir: /}}", "a.yaml sets hydra, which can start programs"),
        ("a.yaml", "seed: 3", "a.yaml is not the file of a sweep: sweep, with its axes, is missing."),
    ],
)
def test_a_file_that_is_no_sweep(here, tmp_path, name, content, message):
    if content is not None:
        Path(tmp_path, name).write_text(content)
    assert message in here("sweep", name).stderr
