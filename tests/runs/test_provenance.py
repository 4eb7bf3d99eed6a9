"""The code behind a result: changes since are reported, and the run is repeated on request."""

import subprocess
import sys

import polars as pl
import pytest
from conftest import composed
from test_checkpoints import SMALL, directory_of, trained, unfinished_copy

from vae_lab.errors import UserError
from vae_lab.files.paths import ROOT
from vae_lab.runs import code, provenance, sources
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.result import Result
from vae_lab.sweep.jobs import Job
from vae_lab.sweep.manifest import Entry, Manifest
from vae_lab.sweep.run import _tell_of_other_code
from vae_lab.sweep.table import collect
from vae_lab.training import run as training
from vae_lab.training.settings import Settings

HELPER = "FACTOR = 1.0\n"
MINE = """from mine_pkg.helper import FACTOR
from vae_lab.estimators import Reparameterized


class Mine(Reparameterized):
    factor = FACTOR
"""
BUDGET = "trainer.max_samples=300"
OF_MINE = [BUDGET, "estimator._target_=mine_pkg.Mine"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of the user's, on the path; forgotten when a source of it is to be imported again."""
    folder = tmp_path / "user" / "mine_pkg"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from .mine import Mine\nfrom .other import Other\n")
    (folder / "mine.py").write_text(MINE)
    (folder / "helper.py").write_text(HELPER)
    (folder / "other.py").write_text("class Other: pass\n")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("VAE_LAB_TRUST", "mine_pkg")
    yield folder
    for name in [name for name in sys.modules if name.startswith("mine_pkg")]:
        del sys.modules[name]


def behind(*overrides):
    return code.code_of(composed(*SMALL, *overrides))


def test_the_sources_behind_a_training():
    found = behind("estimator=vimco")["sources"]
    for path, part in {
        "vae_lab/estimators/vimco.py": "estimator",
        "vae_lab/estimators/multi_sample.py": "estimator",
        "vae_lab/datasets/digits.py": "dataset",
        "vae_lab/training/module.py": "training",
        "vae_lab/models/vae.py": "training",
    }.items():
        assert found[path]["part"] == part
    for path in ("vae_lab/cli/main.py", "vae_lab/estimators/rebar.py", "vae_lab/estimators/__init__.py",
                 "vae_lab/cli/output.py", "vae_lab/tracking/wandb.py", "vae_lab/probe/probe.py"):  # fmt: skip
        assert path not in found
    assert len(found) < 80


def test_what_is_left_out_exists():
    folders = (ROOT / name.replace(".", "/") for name in sources.WITHOUT_NUMBERS)
    assert all(folder.is_dir() or folder.with_suffix(".py").is_file() for folder in folders)


def test_they_are_found_without_torch():
    program = (
        "import sys; from vae_lab.runs import sources; "
        "found = sources.behind({'training': 'vae_lab.training.run.run'}); assert len(found) > 30; "
        "assert 'torch' not in sys.modules and 'lightning' not in str(sys.modules.keys())"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_a_package_hands_on_is_followed_by_name(package):
    found = behind("estimator._target_=mine_pkg.Mine")["sources"]
    assert [path for path in found if path.startswith("mine_pkg")] == [
        "mine_pkg/helper.py",
        "mine_pkg/mine.py",
    ]
    (package / "__init__.py").write_text("from .mine import Mine\nfrom .other import Other\nprint()\n")
    found = behind("estimator._target_=mine_pkg.Mine")["sources"]
    assert {"mine_pkg/__init__.py", "mine_pkg/other.py"} <= found.keys()  # it does something when imported


def test_a_name_that_is_handed_on_goes_before_a_module_of_that_name(package):
    (package / "__init__.py").write_text("from .mine import Mine as other\nfrom . import helper\n")
    assert {"mine_pkg/mine.py"} < sources.behind({"estimator": "mine_pkg.other"}).keys()
    assert [*sources.behind({"estimator": "mine_pkg.helper"})] == ["mine_pkg/helper.py"]


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ("FACTOR = 1.0  # a comment\n", True),
        ('"""A docstring."""\n\n\nFACTOR = (\n    1.0\n)\n', True),
        ("FACTOR = 1.1\n", False),
        ("FACTOR = 1.0\nOTHER = 2\n", False),
        ("FACTOR = (1.0\n", False),
        ('FACTOR = "1.0"\n', False),
    ],
)
def test_a_source_counts_by_its_syntax(package, source, same):
    recorded = behind("estimator._target_=mine_pkg.Mine")["sources"]["mine_pkg/helper.py"]
    assert sources.is_as("mine_pkg/helper.py", recorded)
    (package / "helper.py").write_text(source)
    assert sources.is_as("mine_pkg/helper.py", recorded) == same


def test_a_changed_source_is_told_and_done_again_by_asking(package, tmp_path):
    _, result = trained(tmp_path / "run", *OF_MINE)
    assert code.notes_on(result) == []
    cfg, directory = directory_of(tmp_path / "run", *OF_MINE, "rerun=code")
    assert directory.kept() is not None
    (package / "helper.py").write_text("FACTOR = 2.0\n")
    assert code.notes_on(result) == [
        "the code has changed since: estimator (mine_pkg/helper.py); rerun=code repeats the run."
    ]
    assert directory.kept() is None
    again = training.run(Settings.of(cfg), directory)
    assert again["code"]["hash"] != result["code"]["hash"]
    assert directory.kept() == directory.finished()
    (package / "mine.py").unlink()
    assert "mine_pkg/mine.py" in code.notes_on(again)[0]


@pytest.mark.parametrize(("value", "number"), [(-1, -1), ("codes", "codes"), (1, 1), (None, None)])
def test_rerun_is_one_of_three(tmp_path, value, number):
    cfg = composed()
    cfg.rerun = value
    with pytest.raises(UserError, match=f"^rerun must be false, true or code, got {number}.$"):
        RunDirectory(tmp_path, cfg).kept()


def test_a_run_that_goes_on_under_other_code_says_so(package, tmp_path):
    shorter, before = trained(tmp_path / "short" / "run", *OF_MINE)
    (package / "helper.py").write_text("FACTOR = 2.0\n")
    longer = [*OF_MINE, "trainer.max_samples=500"]
    _, result = trained(tmp_path / "short" / "longer", *longer)
    first, second = before["code"]["hash"], result["code"]["hash"]
    assert result["code"]["history"] == [{"samples": 0, "hash": first}, {"samples": 300, "hash": second}]
    assert result["provenance"]["code"] == f"{first[:8]}+{second[:8]}"
    assert f"{first[:8]}, then {second[:8]} from 300 samples on" in " ".join(result["notes"])
    assert code.notes_on(result) == ["other code made a part of this; rerun=code repeats the run."]
    cfg, directory = directory_of(tmp_path / "short" / "longer", *longer, "rerun=code")
    assert directory.kept() is None
    assert [each["samples"] for each in training.run(Settings.of(cfg), directory)["code"]["history"]] == [0]
    cfg, directory = directory_of(unfinished_copy(shorter, tmp_path / "unfinished"), *OF_MINE, "rerun=code")
    assert [each["hash"] for each in training.run(Settings.of(cfg), directory)["code"]["history"]] == [second]


def test_the_difference_from_the_last_commit_is_kept(package, tmp_path):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(package.parent), *identity, *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "All")
    paths = ["mine_pkg/mine.py", "mine_pkg/helper.py"]
    assert provenance.diff(paths) == ""
    (package / "helper.py").write_text("FACTOR = 2.0\n")
    (package / "new.py").write_text("NEW = 1\n")
    (package / "data.bin").write_bytes(b"\0")
    text = provenance.diff(paths)
    assert "-FACTOR = 1.0\n+FACTOR = 2.0" in text
    assert "+NEW = 1" in text
    assert "data.bin" not in text
    (package / "helper.py").write_text("FACTOR = 2.0\n" * 100_000)
    assert len(provenance.diff(paths)) < provenance.LARGEST_DIFF + 100


def test_all_packages_are_recorded():
    assert {
        "torch",
        "numpy",
        "pytorch-lightning",
        "vae-lab",
        "pytest",
    } <= provenance.installed_packages().keys()


def test_other_versions_are_told():
    made = {
        "code": {"hash": "a", "sources": {}},
        "packages": provenance.installed_packages() | {"torch": "1.0"},
    }
    (note,) = code.notes_on(made)
    assert note.startswith("made with torch 1.0 (now ")
    assert code.notes_on({}) == ["the code of this result is unknown; rerun=code repeats the run."]


def one_source(path, digest, **more):
    return {"hash": digest * 16, "sources": {path: {"part": "estimator", "hash": digest * 16}}} | more


def test_mixtures_are_named_by_the_hash_of_the_code():
    alike = {"a": one_source("rloo.py", "1"), "b": one_source("iwae.py", "2")}
    assert code.mixtures(alike) == []  # other parts, the same state
    assert code.mixtures({"a": None, "b": None}) == []
    mixed = alike | {"c": one_source("rloo.py", "3"), "d": None}
    assert code.mixtures(mixed) == [
        "The runs mix code: estimator (rloo.py: 11111111 in 1 run [a], 33333333 in 1 run [c]).",
        "The runs mix code: unknown in 1 run [d], made by an earlier version.",
    ]
    history = [{"samples": 0, "hash": "4" * 16}, {"samples": 9, "hash": "1" * 16}]
    parted = {"a": one_source("rloo.py", "1", history=history)}
    assert code.mixtures(parted) == ["The code changed while runs were made: a (44444444+11111111)."]


def test_a_table_names_mixtures_and_runs_that_ended_early(tmp_path):
    entries = []
    for seed, made in {"0": one_source("rloo.py", "1"), "1": one_source("rloo.py", "2"), "2": None}.items():
        directory = directory_of(tmp_path / seed, f"seed={seed}")[1]
        directory.begin()
        result = {"signature": seed, "definition": {}, "metrics": {"test/elbo": -1.0, "samples": 100}}
        result |= {"selection": "elbo", "provenance": {"threads": 1}, "config": {}, "budget": 100 + int(seed)}
        directory.finish(Result.of(result | ({"code": made} if made else {})))
        entries.append(Entry({"seed": seed}, directory.path))
    manifest = Manifest("x", "", "train", None, "", {"seed": "repeats"}, entries, {})
    results = collect(manifest)
    assert results.warnings == [
        "The runs mix code: estimator (rloo.py: 11111111 in 1 run [seed=0], 22222222 in 1 run [seed=1]).",
        "The runs mix code: unknown in 1 run [seed=2], made by an earlier version.",
        "Runs that ended before their budget: seed=1, seed=2.",
    ]
    assert results.runs["provenance.code"].to_list() == ["unknown"] * 3  # as these results have no such entry
    assert isinstance(results.settings, pl.DataFrame)


def test_a_sweep_says_of_how_many_finished_runs_the_code_has_changed(tmp_path, capsys):
    own = "vae_lab/estimators/vimco.py"
    as_now = {"hash": "1", "sources": {own: {"part": "estimator", "hash": sources.hash_of(own)}}}
    jobs = []
    for name, made in {"a": one_source(own, "2"), "b": as_now, "c": None}.items():
        cfg, directory = directory_of(tmp_path / name)
        directory.begin()
        result = {"definition": directory.definition, "metrics": {}}
        directory.finish(Result.of(result | ({"code": made} if made else {})))
        jobs.append(Job(name, "train", [], cfg, directory.path))
    _tell_of_other_code(jobs[1:2])
    assert capsys.readouterr().out == ""
    _tell_of_other_code(jobs)
    assert capsys.readouterr().out == (
        f"note: the code of 2 of the 3 finished runs has changed since: estimator ({own}), unknown code; "
        "rerun=code repeats these runs.\n"
    )


def test_a_process_that_lives_on_remembers_the_sources_that_it_imported(package, monkeypatch):
    monkeypatch.setattr(sources, "_remembered", {})
    recorded = behind("estimator._target_=mine_pkg.Mine")["sources"]["mine_pkg/helper.py"]
    sources.remember_sources("mine_pkg")
    (package / "helper.py").write_text("FACTOR = 3.0\n")
    assert sources.is_as("mine_pkg/helper.py", recorded)


def test_this_packages_own_sources_are_told_apart(tmp_path, monkeypatch):
    copy = tmp_path / "vae_lab" / "estimators"
    copy.mkdir(parents=True)
    for name in ("__init__.py", "estimators/__init__.py", "estimators/vimco.py"):
        (tmp_path / "vae_lab" / name).write_text((ROOT / "vae_lab" / name).read_text())
    before = behind("estimator=vimco")
    monkeypatch.setattr(sources, "_top", lambda name: tmp_path / "vae_lab" / "__init__.py")
    assert code.changed({"sources": {p: one for p, one in before["sources"].items() if "vimco" in p}}) == []
    source = copy / "vimco.py"
    source.write_text(source.read_text().replace("return ", "return 1 * ", 1))
    assert code.changed({"sources": {p: one for p, one in before["sources"].items() if "vimco" in p}}) == [
        "estimator (vae_lab/estimators/vimco.py)"
    ]
    source.unlink()
    assert code.changed({"sources": {p: one for p, one in before["sources"].items() if "vimco" in p}}) == [
        "estimator (vae_lab/estimators/vimco.py, which is not found)"
    ]
