"""Whose files are whose: nothing that a user has put anywhere is replaced or removed."""

import json
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import FAST, composed
from hydra.core.override_parser.overrides_parser import OverridesParser

from vae_lab.cli.main import _as_hydra_reads
from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.files.writing import LEFT_SECONDS, own_suffix, read_rows, write_atomically
from vae_lab.runs import earlier, lease
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import write_failure
from vae_lab.runs.names import EARLIER
from vae_lab.runs.result import Result, is_finished, result_of
from vae_lab.sweep import manifest
from vae_lab.sweep import name as sweep_name
from vae_lab.sweep.axes import axes
from vae_lab.sweep.launchers.pool import Pool, Task
from vae_lab.tracking import MetricsCsv

CPU = SimpleNamespace(type="cpu")
NO_CODE = {"hash": "", "sources": {}}
COMMANDS = ("train", "gradients", "evaluate", "generate", "explore", "embed", "impute")


def tree(folder):
    """Everything in a folder with its content, byte for byte."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def finished_run(path, *overrides):
    """A run that is done, from files alone."""
    directory = RunDirectory(path, composed(*overrides))
    directory.claim()
    directory.begin()
    directory.metrics_csv.write_text("step,samples\n1,100\n")
    directory.last_checkpoint.write_text("weights")
    with ownership.written_whole(path) as folder:
        (folder / "figures").mkdir()
        (folder / "figures" / "samples.png").write_text("old")
    result = {"definition": directory.definition, "metrics": {"samples": 1}, "selection": "elbo"}
    directory.finish(Result.of(result))
    return directory


def again(directory):
    """That run, asked for again."""
    return RunDirectory(directory.path, composed("rerun=true"))


@pytest.fixture
def users(tmp_path):
    """A folder with a repository, documents and a trained model."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "outputs" / "runs").mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / "notes.md").write_text("mine")
    finished_run(tmp_path / "run")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_no_result_goes_into_a_folder_of_the_user(users, monkeypatch, command):
    monkeypatch.chdir(users)
    before = tree(users)
    for again in ([], ["rerun=true"]):
        cfg = composed(*again, command=command)
        for to in (
            ".",
            "outputs",
            "outputs/runs",
            "thesis.tex",
            "/",
            *(["run"] if command != "train" else []),
        ):
            with pytest.raises(UserError, match=r"choose another hydra\.run\.dir"):
                RunDirectory(Path(to), cfg).claim()
    assert tree(users) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [(["generate", "run=run", "hydra.run.dir=."], "holds files that are not of a result of vae-lab generate"),
     (["train", "model=ppca", "rerun=true", "hydra.run.dir=outputs"], "holds files that are not of a result"),
     (["evaluate", "run=run", "hydra.run.dir=run"], "run holds a result of vae-lab train"),
     (["train", "seed=1", "hydra.run.dir=run"], "holds a run of another configuration"),
     (["train", "--config-path", "run/.hydra", "--config-name", "config", "hydra.run.dir=."], "holds files"),
     (["train", "output_dir="], "output_dir must be"), (["train", "output_dir=true"], "output_dir must be"),
     (["train", "hydra.run.dir=''"], "hydra.run.dir must be"),
     (["train", "-m", "seed=0,1", "sweep.name=../up"], "sweep.name must be one plain folder name"),
     (["train", "dataset=mnist", "dataset.root=nowhere", "hydra.run.dir=a/b/c"], "could not be downloaded"),
     (["evaluate", "run=nothing"], "neither a run's directory nor a signature")],
)  # fmt: skip
def test_a_refused_command_leaves_everything_as_it_was(here, users, words, message):
    before = tree(users)
    assert message in here(*words).stderr
    assert tree(users) == before


@pytest.mark.parametrize(
    "name", ["../../elsewhere", "/tmp/abs", "a\nb", ".hid", "", "..", "a/b", "x" * 200, "-m"]
)
def test_the_name_of_a_sweep_is_one_plain_folder(name):
    with pytest.raises(UserError, match=r"sweep\.name must be one plain folder name"):
        sweep_name.checked(name)


def test_a_path_from_home_is_made_whole(monkeypatch):
    monkeypatch.setenv("HOME", "/home/a b")
    assert _as_hydra_reads(["output_dir=~/out", "~seed"]) == ["output_dir='/home/a b/out'", "~seed"]
    paths = "dataset.path='/home/a b/x.npy','/home/a b/y.npy'"
    assert _as_hydra_reads(["-m", "dataset.path=~/x.npy,~/y.npy"]) == ["-m", paths]  # an axis all the same


def test_a_derived_name_is_a_name():
    assert sweep_name.checked(sweep_name.derived([f"++axis/{n}" for n in range(99)], []))


def test_what_the_user_adds_to_a_run_outlives_its_repetition(tmp_path):
    directory = finished_run(tmp_path / "run")
    mine = ("notes.md", "figures/mine.png", "checkpoints/mine.ckpt", "wandb/notes")
    for name in mine:
        (tmp_path / "run" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "run" / name).write_text("mine")
    with again(directory).once() as writing:
        assert not directory.metrics_json.exists()
        assert not directory.last_checkpoint.exists()
        assert (tmp_path / "run" / EARLIER / "figures" / "samples.png").read_text() == "old"
        assert result_of(tmp_path / "run" / EARLIER).metrics == {"samples": 1}
        writing.keep({"definition": directory.definition, "metrics": {"samples": 2}}, NO_CODE, CPU)
    assert not (tmp_path / "run" / EARLIER).exists()
    assert not (tmp_path / "run" / "figures" / "samples.png").exists()
    assert all((tmp_path / "run" / name).read_text() == "mine" for name in mine)


def test_a_repetition_that_fails_gives_the_result_back(tmp_path):
    directory = finished_run(tmp_path / "run")
    before = tree(tmp_path)
    with suppress(KeyboardInterrupt), again(directory).once():
        directory.begin()
        directory.metrics_csv.write_text("new")
        raise KeyboardInterrupt
    assert tree(tmp_path) == before


def test_a_repetition_that_can_go_on_keeps_the_result_aside(tmp_path):
    directory = finished_run(tmp_path / "run")
    with suppress(KeyboardInterrupt), again(directory).once():
        directory.begin()
        directory.last_checkpoint.write_text("new")
        raise KeyboardInterrupt
    assert directory.last_checkpoint.read_text() == "new"
    with pytest.raises(UserError, match=r"\.earlier has its earlier result"):
        result_of(directory.path)
    entry = manifest.Entry({}, directory.path)
    assert entry.state() == ("missing", f"its earlier result is in {directory.path / EARLIER}")


class Killed(BaseException):
    """As by a signal: nothing that comes after it is done."""


@pytest.mark.parametrize("after", range(20))
def test_a_repetition_killed_at_any_moment_loses_no_result(tmp_path, monkeypatch, after):
    directory = finished_run(tmp_path / "run")
    left, inside = iter(range(after)), ownership.inside

    def mortal(folder, name):
        if next(left, None) is None:
            raise Killed
        return inside(folder, name)

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(ownership, "inside", mortal)
        earlier.set_aside(directory.path, "train")
        earlier.restore_unless_begun(directory.path)
    earlier.settle(directory.path)
    (whole,) = [path for path in (directory.path, directory.path / EARLIER) if is_finished(path)]
    assert (whole / "checkpoints" / "last.ckpt").read_text() == "weights"
    assert (whole / "figures" / "samples.png").read_text() == "old"


def test_a_run_of_an_earlier_version_is_read_and_never_replaced(tmp_path):
    directory = finished_run(tmp_path / "run")
    (tmp_path / "run" / ownership.MARK).unlink()
    before = tree(tmp_path)
    directory.check()
    assert directory.finished() is not None
    repeated = again(directory)
    directory.metrics_json.rename(tmp_path / "away")
    for one in (repeated, directory):
        with pytest.raises(UserError, match="an earlier version of vae_lab"):
            one.check()
    (tmp_path / "away").rename(directory.metrics_json)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["../thesis.tex", "/etc/passwd", "link/thesis.tex", ""])
def test_a_mark_that_leads_out_of_its_folder_removes_nothing(tmp_path, name):
    (tmp_path / "thesis.tex").write_text("mine")
    directory = finished_run(tmp_path / "run")
    (tmp_path / "run" / "link").symlink_to(tmp_path)
    mark = {"vae_lab": {"kind": "train", "made": True, "files": [name]}}
    (tmp_path / "run" / ownership.MARK).write_text(json.dumps(mark))
    with pytest.raises(UserError, match="leads out of"):
        earlier.set_aside(directory.path, "train")
    assert (tmp_path / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("linked", ["checkpoints", "figures"])
def test_a_folder_that_is_linked_elsewhere_stops_a_repetition_before_anything_is_moved(tmp_path, linked):
    directory = finished_run(tmp_path / "run")
    (tmp_path / "run" / linked).rename(tmp_path / "disk")
    (tmp_path / "run" / linked).symlink_to(tmp_path / "disk")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="leads out of"), again(directory).once():
        pass
    assert tree(tmp_path) == before


def test_a_configuration_that_is_linked_elsewhere_is_not_written_there(tmp_path):
    finished_run(tmp_path / "run")
    (tmp_path / "run" / ".hydra").rename(tmp_path / "mine")
    (tmp_path / "run" / ".hydra").symlink_to(tmp_path / "mine")
    before = tree(tmp_path)
    again = RunDirectory(tmp_path / "run", composed("rerun=true"), ["rerun=true"])
    for refused in (again.check, again.claim):
        with pytest.raises(UserError, match="leads out of"):
            refused()
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["metrics.json", "failure.json", "checkpoints/last.ckpt", "figures/samples.png"]
)
def test_a_folder_of_the_user_by_the_name_of_a_file_of_ours_is_not_removed(tmp_path, name):
    directory = finished_run(tmp_path / "run")
    (tmp_path / "run" / name).unlink(missing_ok=True)
    (tmp_path / "run" / name).mkdir()
    (tmp_path / "run" / name / "notes").write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="is a folder"), again(directory).once():
        pass
    assert tree(tmp_path) == before


@pytest.mark.parametrize("read", [result_of, manifest.read_manifest])
@pytest.mark.parametrize("name", ["metrics.json", "manifest.json"])
def test_what_is_no_file_is_named(tmp_path, read, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="cannot be read|is not the directory"):
        read(tmp_path)
    with pytest.raises(UserError, match="is not the directory"):
        read(tmp_path / name / "notes.md" / "more")


def test_a_mark_that_was_copied_marks_nothing(tmp_path):
    directory = finished_run(tmp_path / "run")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "metrics.csv").write_text("mine")
    (tmp_path / "thesis" / ownership.MARK).write_bytes((directory.path / ownership.MARK).read_bytes())
    with pytest.raises(UserError, match="not of a result of vae-lab train, such as metrics.csv"):
        RunDirectory(tmp_path / "thesis", composed("rerun=true")).check()


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_rows_are_added_under_one_name_alone(tmp_path, link):
    (tmp_path / "copy.csv").write_text("step,samples\n1,100\n")
    link(tmp_path / "metrics.csv", tmp_path / "copy.csv")
    MetricsCsv(tmp_path / "metrics.csv", resumed_at=1).log_metrics({"samples": 200.0}, 2)
    assert (tmp_path / "copy.csv").read_text() == "step,samples\n1,100\n"
    assert len(read_rows(tmp_path / "metrics.csv")) == 2


def test_a_file_of_the_user_is_not_written_over(tmp_path):
    ownership.claim_folder(tmp_path / "a", "sweep")
    (tmp_path / "a" / "table.md").write_text("mine")
    with pytest.raises(UserError, match="in the way"), ownership.written_whole(tmp_path / "a") as folder:
        (folder / "table.md").write_text("ours")
    assert (tmp_path / "a" / "table.md").read_text() == "mine"


def test_of_what_is_written_whole_the_old_goes_and_the_strange_stays(tmp_path):
    ownership.claim_folder(tmp_path, "sweep")
    for names in (["table.csv", "figure.png"], ["table.csv"]):
        with ownership.written_whole(tmp_path) as folder:
            for name in names:
                (folder / name).write_text(str(names))
        (tmp_path / "paper_table.csv").write_text("mine")
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "paper_table.csv", ownership.MARK}


def test_drafts_of_killed_processes_go_and_others_stay(tmp_path):
    ended = subprocess.Popen(["true"])
    ended.wait()
    host = own_suffix().rpartition("-")[0]
    dead, old, young = (f"{host}-{ended.pid}", "vae_lab-elsewhere-7", "vae_lab-elsewhere-8")
    for suffix in (dead, old, young, "mine-1"):
        (tmp_path / f".a.json.{suffix}").touch()
    os.utime(tmp_path / f".a.json.{old}", (0, 0))
    os.utime(tmp_path / ".a.json.mine-1", (0, 0))
    assert LEFT_SECONDS > 3600
    write_atomically(tmp_path / "a.json", "{}")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", f".a.json.{young}", ".a.json.mine-1"}


@pytest.mark.parametrize("rest", ["12", "12,3", "12,30", "12,300,4.5"])
def test_part_of_a_row_is_no_row(tmp_path, rest):
    path = tmp_path / "metrics.csv"
    path.write_text(f"step,samples,train/elbo\n1,100,-5.0\n{rest}")
    assert [row["step"] for row in read_rows(path)] == ["1"]
    logger = MetricsCsv(path, resumed_at=20)
    logger.log_metrics({"samples": 200, "train/elbo": -4.0}, step=2)
    assert path.read_text() == "step,samples,train/elbo\n1,100,-5.0\n2,200,-4.0\n"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"metrics": 3}'])
def test_a_damaged_result_is_not_done_and_is_named(tmp_path, content):
    directory = finished_run(tmp_path / "run")
    directory.metrics_json.write_text(content)
    assert directory.finished() is None
    state, error = manifest.Entry({}, directory.path).state()
    assert state == "failed"
    assert "metrics.json is damaged" in error
    directory.check()  # and can be done again


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"entries": [3]}'])
def test_a_damaged_manifest_is_named(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        manifest.read_manifest(tmp_path)


class TestGrowth:
    def sweep(self, **points):
        entries = [manifest.Entry({"seed": seed}, run) for seed, run in points.items()]
        return manifest.Manifest(
            "mine", "", "train", "against", "", {"seed": "repeats"}, entries, {}, {"seed": "seed"}, {"lr": 1}
        )

    def test_a_sweep_has_what_it_had_and_what_is_asked_for(self, tmp_path):
        runs = {str(seed): tmp_path / str(seed) for seed in range(12)}
        before = self.sweep(**{seed: runs[seed] for seed in ("0", "2", "10")})
        by = self.sweep(**{seed: runs[seed] for seed in ("2", "3")})
        grown = manifest.grown(before, by)
        assert [entry.point["seed"] for entry in grown.entries] == ["0", "2", "3", "10"]
        assert manifest.grown(grown, by) == manifest.grown(grown, grown) == grown
        assert manifest.grown(None, by) == by

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"command": "evaluate"}, "sweep.command is train in it and evaluate here"),
         ({"metric": "test/kl"}, "sweep.metric is the bound in it and test/kl here"),
         ({"roles": {"lr": "scientific"}}, "what varies is seed in it and lr here"),
         ({"base": {"lr": 2}}, "lr is 1 in it and 2 here"),
         ({"base": {"lr": 1, "new": 5}}, "new is None in it and 5 here")],
    )  # fmt: skip
    def test_another_table_is_refused_by_its_difference(self, tmp_path, change, message):
        before = self.sweep(**{"0": tmp_path / "0"})
        with pytest.raises(UserError, match=f"{message}.*sweep.anew=true"):
            manifest.grown(before, before._replace(**change))

    def test_one_point_is_one_run(self, tmp_path):
        before = self.sweep(**{"0": tmp_path / "a", "1": tmp_path / "b"})
        with pytest.raises(UserError, match="seed=1 is run b in it and run c here"):
            manifest.grown(before, self.sweep(**{"1": tmp_path / "c"}))

    def test_a_manifest_that_says_the_same_is_not_written_again(self, tmp_path):
        directory = tmp_path / "mine"
        one = self.sweep(**{"0": tmp_path / "0"})
        manifest.write_manifest(directory, one)
        written = tree(tmp_path), (directory / manifest.FILE).stat().st_mtime_ns
        manifest.write_manifest(directory, one._replace(code={"vae_lab": "another"}))
        assert (tree(tmp_path), (directory / manifest.FILE).stat().st_mtime_ns) == written
        assert manifest.read_manifest(directory) == one

    def test_one_value_of_an_axis_is_a_point_of_it(self):
        typed = OverridesParser.create().parse_overrides(["seed=7", "model.latent_dim=2"])
        found, fixed = axes({"repeats": {"seed": [0, 1]}}, typed)
        assert [(axis.key, list(axis.values)) for axis in found] == [("seed", ["7"])]
        assert fixed == ["model.latent_dim=2"]
        assert axes(None, typed[:1], {"seed": "repeats"})[0] == found


def test_a_sweep_of_a_name_grows_and_leaves_what_is_not_its_own(vae_lab, tmp_path):
    command = ["train", "-m", *FAST, "sweep.name=mine"]
    assert vae_lab(*command, "seed=0,1").returncode == 0
    mine = tmp_path / "outputs" / "sweeps" / "mine"
    for name in ("notes.md", "paper_table.csv"):
        (mine / name).write_text("mine")
    grown = vae_lab(*command, "seed=2")
    assert grown.returncode == 0, grown.stderr
    assert "mine grows by 1 run to 3" in grown.stdout
    assert read_rows(mine / "table.csv")[0]["repeats"] == "3"
    before = tree(tmp_path)
    assert vae_lab(*command, "seed=0,1,2").returncode == 0
    assert tree(tmp_path) == before
    refused = vae_lab(*command, "seed=3", "trainer.max_epochs=2")
    assert "trainer.max_epochs is 1 in it and 2 here" in refused.stderr
    assert tree(tmp_path) == before
    anew = vae_lab(*command, "seed=1,2", "sweep.anew=true")
    assert anew.returncode == 0, anew.stderr
    assert read_rows(mine / "table.csv")[0]["repeats"] == "2"
    assert (mine / "notes.md").read_text() == (mine / "paper_table.csv").read_text() == "mine"


def test_a_run_that_failed_here_is_followed_elsewhere_and_tried_once(tmp_path):
    directory = finished_run(tmp_path / "run")
    job = SimpleNamespace(directory=directory.path, is_done=directory.finished)
    pool = Pool([], lambda tasks: None, None, None)

    def state_after(before, error="killed by SIGKILL"):
        task = Task(job, state=before, error=error)
        pool._look_elsewhere([task])
        return task.state

    assert state_after("failed") == "done"
    write_failure(directory.path, "the earlier result came back")
    assert state_after("failed") == "failed"
    directory.metrics_json.unlink()
    with lease.hold(directory.path):
        assert state_after("failed") == "elsewhere"
    assert state_after("elsewhere") == "failed"
    assert state_after("elsewhere", error="") == "waiting"
