"""Sweeps as a user types them: composed, run in slots, resumed, shared, collected and drawn."""

import importlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import FAST, REPOSITORY, environment, of_sweep, paced, results, started
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from rich.table import Table

from vae_lab.cli import output
from vae_lab.cli.commands import check_of
from vae_lab.config import schema
from vae_lab.datasets.fraud_like import fraud_like
from vae_lab.errors import UserError
from vae_lab.files.paths import CONF, ROOT
from vae_lab.runs import signature
from vae_lab.runs.find import find_run
from vae_lab.sweep import manifest, table
from vae_lab.sweep.axes import axes, points
from vae_lab.sweep.figures.kinds import FIGURES
from vae_lab.sweep.launchers.pool import slots

FILES = sorted(REPOSITORY.glob("sweeps/*.yaml"))
TWO = ["train", "-m", *FAST, "model.latent_dim=2,3"]


def typed(*words):
    return OverridesParser.create().parse_overrides(list(words))


class TestAxes:
    FILE = {
        "scientific": {
            "model.latent_dim": [2, 5],
            "size": {"small": ["model=linear"], "big": ["model=conv", "noise=antithetic"]},
        },
        "nuisance": {"optimizer.lr": [1e-3]},
        "repeats": {"seed": [0, 1]},
    }  # fmt: skip

    PRODUCT = {
        "alone": ["z=1"],
        "product": [{"a": ["x=1"], "b": ["x=2", "w=1"]}, {"c": ["y=1"], "d": []}],
        "except": ["a_d"],
    }  # fmt: skip

    def test_a_product_of_rows_but_for_some(self):
        (axis,) = axes({"scientific": {"pair": self.PRODUCT}}, [])[0]
        assert axis.values == {
            "alone": ["z=1"],
            "a_c": ["x=1", "y=1"],
            "b_c": ["x=2", "w=1", "y=1"],
            "b_d": ["x=2", "w=1"],
        }
        (axis,) = axes({"scientific": {"pair": self.PRODUCT}, "only": {"pair": ["b_c"]}}, [])[0]
        assert list(axis.values) == ["b_c"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"except": ["a_e"]}, "pair.except: a_e is not a row of the product; did you mean a_d? There are: "),
         ({"except": "a_d"}, "pair.except must be a list of rows of the product, got 'a_d'"),
         ({"except": ["alone"]}, "pair.except: alone is not a row of the product"),
         ({"product": {"a": ["x=1"]}}, "pair.product must be a list of two tables of rows or more"),
         ({"product": ["x=1", "y=1"]}, "pair.product must be a list of two tables of rows or more"),
         ({"product": [{"a": ["x=1"]}]}, "pair.product must be a list of two tables of rows or more"),
         ({"alone": "z=1"}, "pair.alone must be a list of overrides, got 'z=1'"),
         ({"b_c": ["z=2"]}, "pair must have each row once, and b_c is there twice")],
    )  # fmt: skip
    def test_a_product_that_is_none_is_refused(self, change, message):
        with pytest.raises(UserError, match=re.escape(f"sweep: {message}")):
            axes({"scientific": {"pair": self.PRODUCT | change}}, [])

    def test_rows_are_left_out_of_a_product_alone(self):
        with pytest.raises(UserError, match=r"pair\.except needs pair\.product"):
            axes({"scientific": {"pair": {"alone": ["z=1"], "except": []}}}, [])

    def test_every_combination_once(self):
        found, fixed = axes(self.FILE, typed("model.beta=2"))
        assert fixed == ["model.beta=2"]
        assert [axis.role for axis in found] == ["scientific", "scientific", "nuisance", "repeats"]
        every = points(found)
        assert len(every) == 8
        assert every[2].labels == {"latent_dim": "2", "size": "big", "lr": "0.001", "seed": "0"}
        assert every[2].overrides == [
            "model.latent_dim=2", "model=conv", "noise=antithetic", "optimizer.lr=0.001", "seed=0",
        ]  # fmt: skip

    def test_a_value_on_the_command_line_replaces_an_axis(self):
        found, fixed = axes(self.FILE, typed("model.latent_dim=7", "seed=4,5,6", "estimator=a,b"))
        assert fixed == []
        of = {axis.key: axis for axis in found}
        assert set(of) == {"model.latent_dim", "size", "optimizer.lr", "seed", "estimator"}
        assert of["model.latent_dim"].values == {"7": ["model.latent_dim=7"]}
        assert (of["seed"].role, list(of["seed"].values)) == ("repeats", ["4", "5", "6"])
        assert of["estimator"].role == "scientific"

    def test_an_axis_of_paired_values_can_be_restricted(self):
        (size,) = [
            axis for axis in axes(self.FILE | {"only": {"size": ["big"]}}, [])[0] if axis.key == "size"
        ]
        assert size.values == {"big": ["model=conv", "noise=antithetic"]}
        with pytest.raises(UserError, match=r"size=bug is not a value of this axis; did you mean big\?"):
            axes(self.FILE | {"only": {"size": ["bug"]}}, [])

    def test_without_a_file_seeds_are_repeats(self):
        found, _ = axes(None, typed("seed=range(3)", "model=linear,mlp"))
        assert {axis.key: axis.role for axis in found} == {"seed": "repeats", "model": "scientific"}

    def test_what_is_no_list_is_refused(self):
        with pytest.raises(UserError, match=r"model.beta=interval\(0,1\) is no list of values"):
            axes(None, typed("model.beta=interval(0,1)"))
        with pytest.raises(UserError, match="must be a list of values, or rows"):
            axes({"scientific": {"seed": 3}}, [])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_the_server_that_forks_has_one_thread(tmp_path):
    count = "import os; from vae_lab.sweep.launchers import forkserver; forkserver.imports(); "
    count += "print(len(os.listdir('/proc/self/task')))"
    command = [sys.executable, "-c", count]
    process = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert process.stdout == "1\n", process.stderr


def test_slots():
    assert slots(3, [], 1, 1) == [{}, {}, {}]
    assert slots(None, ["0", "1"], 1, 2) == [
        {"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"},
    ] * 2  # fmt: skip
    assert slots(None, ["4", "5", "6"], 2, 1) == [{"CUDA_VISIBLE_DEVICES": "4,5"}]


def test_a_multirun_ends_in_a_table_and_what_is_done_is_not_started_again(vae_lab, tmp_path):
    first = vae_lab(*TWO, "seed=0,1")
    assert first.returncode == 0, first.stderr
    assert "running: latent_dim=3 seed=1" in first.stdout
    assert "done 4 of 4" in first.stdout
    assert first.stderr == ""
    folder = of_sweep(tmp_path)
    runs = pl.read_parquet(folder / "runs.parquet")
    settings = pl.read_csv(folder / "table.csv")
    assert settings["latent_dim"].to_list() == [2, 3]
    assert settings["repeats"].to_list() == [2, 2]
    values = runs.filter(pl.col("latent_dim") == "2")["test/elbo"]
    assert settings["test/elbo"][0] == pytest.approx(values.mean())
    half = 12.706204736 * values.std() / 2**0.5  # the 97.5 % quantile of Student's t with one degree
    assert settings["high"][0] == pytest.approx(values.mean() + half)
    assert (folder / "figure.png").is_file()
    written, moments = (folder / "table.csv").read_bytes(), results(tmp_path)
    again = vae_lab(*TWO, "seed=0,1")
    assert again.returncode == 0
    assert "running" not in again.stdout
    assert (results(tmp_path), (folder / "table.csv").read_bytes()) == (moments, written)
    more = vae_lab(*TWO, "seed=0,1,2")
    assert more.stdout.count("running: ") == 2
    assert {name: results(tmp_path)[name] for name in moments} == moments


def test_finished_runs_need_no_torch(vae_lab, tmp_path):
    assert vae_lab(*TWO).returncode == 0
    command = [sys.executable, "-X", "importtime", "-m", "vae_lab", *TWO]
    process = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    modules = {line.rsplit("|", 1)[-1].strip() for line in process.stderr.splitlines()}
    assert not modules & {"torch", "pytorch_lightning", "wandb"}
    assert "latent_dim" in process.stdout


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ("estimator=reparameterized,nvl", "estimator=nvl is not an option; did you mean nvil?"),
        ("model.latent_dim=2,0", "model.latent_dim must be at least 1, got 0. (in latent_dim=0)"),
        ("model.latent_dm=2,3", "model.latent_dm does not exist; did you mean latent_dim?"),
        ("optimizer.lr=0.1,-1", "optimizer.lr"),
        ("seed=0,1 estimator=rloo estimator.num_samples=1", "num_samples must be at least 2"),
        ("trainer.checkpoint_seconds=1,2", "checkpoint_seconds=1 and checkpoint_seconds=2 are the same run"),
        ("seed=0,1 hydra.launcher.slots=0", "hydra.launcher.slots must be an int of at least 1, got 0."),
    ],
)
def test_a_mistake_in_the_last_job_stops_the_sweep_before_the_first(vae_lab, tmp_path, axis, message):
    process = vae_lab("train", "-m", *FAST, *axis.split())
    assert process.returncode == 1
    assert message in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_does_not_stop_the_others(vae_lab, tmp_path):
    command = ["train", "-m", *FAST, "optimizer=sgd", "optimizer.lr=1e30,1e-3,1e-4"]
    process = vae_lab(*command)
    assert process.returncode == 1
    assert "2 done, 1 failed; each alone:" in process.stderr
    assert "lr=1e+30: training stopped at step" in process.stderr
    line = process.stderr.strip().splitlines()[-1].split()
    assert line[:2] == ["vae-lab", "train"]
    alone = vae_lab(*line[1:])
    assert alone.returncode == 1
    assert "training stopped at step" in alone.stderr
    (failure,) = tmp_path.glob("outputs/runs/*/failure.json")
    assert "Traceback" in (failure.parent / "train.log").read_text()
    assert "Missing:" in (of_sweep(tmp_path) / "table.md").read_text()
    again = vae_lab(*command)  # what failed is tried again, and nothing else
    assert again.stdout.count("running: ") == 1


def test_a_killed_job_takes_only_itself(tmp_path):
    process = started(tmp_path, *TWO, *paced(tmp_path, seconds=15), "hydra.launcher.slots=2")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        leases = list(tmp_path.glob("outputs/runs/*/.lease-1"))
        if len(leases) == 2:
            break
        time.sleep(0.1)
    os.kill(json.loads(leases[0].read_text())["pid"], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "1 done, 1 failed" in stderr
    assert "killed by SIGKILL" in stderr
    assert stdout.count("done 1 of 2") == 1


def test_the_jobs_of_a_killed_sweep_end_and_the_next_one_continues(vae_lab, tmp_path):
    command = [*TWO, *paced(tmp_path, seconds=15), "trainer.checkpoint_seconds=0.2"]
    process = started(tmp_path, *command)
    deadline = time.monotonic() + 60
    while (
        len(list(tmp_path.glob("outputs/runs/*/checkpoints/last.ckpt"))) < 2 and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    pids = [json.loads(path.read_text())["pid"] for path in tmp_path.glob("outputs/runs/*/.lease-*")]
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    again = vae_lab(*command)
    assert again.returncode == 0, again.stderr
    for log in tmp_path.glob("outputs/runs/*/output.log"):
        assert "continuing at" in log.read_text()


def test_two_invocations_share_the_work(tmp_path):
    command = [*TWO, "seed=0,1,2", "trainer.max_epochs=40"]
    processes = [started(tmp_path, *command) for _ in range(2)]
    said = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert not any("failed" in text for text, _ in said)
    assert not list(tmp_path.glob("outputs/runs/*/failure.json"))
    printed = [log.read_text().count("test ELBO") for log in tmp_path.glob("outputs/runs/*/output.log")]
    assert len(printed) == 6
    assert len(results(tmp_path)) == 6
    trained = [len(log.read_text().split("\n")) for log in tmp_path.glob("outputs/runs/*/metrics.csv")]
    assert len(set(trained)) == 1  # no row twice, none lost
    assert all("test/elbo" in text for text, _ in said)


def test_a_sweep_done_again_begins_again_and_what_fails_is_not_hidden_by_an_old_result(vae_lab, tmp_path):
    assert vae_lab(*TWO).returncode == 0
    before = results(tmp_path)
    again = vae_lab(*TWO, "rerun=true")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("running: ") == 2
    assert not set(before.values()) & set(results(tmp_path).values())
    process = started(tmp_path, *TWO, "rerun=true")
    deadline = time.monotonic() + 120
    while not (jobs := holders(tmp_path) - {process.pid}) and time.monotonic() < deadline:
        time.sleep(0.02)  # the sweep holds a lease itself while it sets a result aside
    os.kill(jobs.pop(), signal.SIGKILL)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "1 done, 1 failed" in stderr


def holders(tmp_path):
    """The processes that hold a run's lease."""
    pids = set()
    for path in tmp_path.glob("outputs/runs/*/.lease-*"):
        with suppress(OSError, ValueError):  # one that is left just now
            pids.add(json.loads(path.read_text())["pid"])
    return pids


def test_a_sweep_of_the_same_name_with_other_runs_leaves_no_old_figure(vae_lab, tmp_path):
    smoke = ["sweep", "smoke", *FAST]
    assert vae_lab(*smoke, "model.latent_dim=2,3", "seed=0").returncode == 0
    (old,) = of_sweep(tmp_path).glob("*.png")
    assert vae_lab(*smoke, "model.latent_dim=4", "seed=0", "sweep.figure=null").returncode == 0
    assert not old.exists()
    assert (of_sweep(tmp_path) / "table.csv").exists()


def test_a_run_done_again_does_not_continue_a_shorter_one(vae_lab, tmp_path):
    one = ["train", *FAST]
    assert vae_lab(*one).returncode == 0
    again = [*one, "trainer.max_epochs=2", "rerun=true"]
    for command in (again, [*again, "seed=0,1", "-m"]):
        process = vae_lab(*command)
        assert process.returncode == 0, process.stderr
        assert "continuing" not in process.stdout
    logs = [path.read_text() for path in tmp_path.glob("outputs/runs/*/output.log")]
    assert len(logs) == 2
    assert not any("continuing" in log for log in logs)


def test_odd_names_of_folders_and_of_labels(vae_lab, tmp_path):
    folder = tmp_path / "Drop (Personal), x"
    folder.mkdir()
    process = vae_lab(*TWO, "dataset.binarize=dynamic,[/x]", cwd=folder)
    assert process.returncode == 1
    assert "dataset.binarize" in process.stderr
    process = vae_lab(*TWO, "optimizer=sgd", "optimizer.lr=1e30", cwd=folder)
    assert "0 done, 2 failed" in process.stderr
    assert "training stopped at step" in process.stderr
    assert "--config-path outputs/runs/" in process.stderr


def test_a_prefix_is_no_other_axis_and_a_key_of_a_row_is_refused():
    found, _ = axes(TestAxes.FILE, typed("++model.latent_dim=8", "++seed=4,5"))
    of = {axis.key: axis for axis in found}
    assert of["model.latent_dim"].values == {"8": ["++model.latent_dim=8"]}
    assert of["seed"].role == "repeats"
    with pytest.raises(UserError, match="model=mlp: model belongs to the axis size; choose size="):
        axes(TestAxes.FILE, typed("model=mlp"))


def test_the_figure_and_the_metric_exist(vae_lab, tmp_path):
    process = vae_lab("sweep", "smoke", "sweep.figure=bars")
    assert (
        "sweep.figure=bars is not a kind of figure. There are: against, curves, gradients, " in process.stderr
    )
    assert not list(tmp_path.iterdir())
    process = vae_lab("sweep", "smoke", "sweep.metric=None")
    assert "sweep.metric must begin with one of test/, validation/, " in process.stderr
    process = vae_lab("train", "-m", *FAST, "model.latent_dim=2,3", "sweep.name=???")
    assert "sweep.name must be one plain folder name" in process.stderr
    assert not list(tmp_path.iterdir())
    asked = ["sweep", "smoke", "seed=0", "optimizer.lr=0.001"]
    process = vae_lab(*asked, "sweep.metric=test/elbos")  # which a run might have
    assert process.returncode == 1
    assert "sweep.metric=test/elbos is in no run; did you mean test/elbo?" in process.stderr
    assert "another sweep.metric and sweep.anew=true makes their table." in process.stderr
    drawn = vae_lab(*asked, "sweep.metric=test/kl", "sweep.anew=true")
    assert drawn.returncode == 0, drawn.stderr
    assert "running" not in drawn.stdout
    assert "test/kl" in (tmp_path / "outputs" / "sweeps" / "smoke" / "table.csv").read_text()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    process = vae_lab(*asked, "sweep.metric=test/elbos", "sweep.anew=true")  # which none of these has
    assert "sweep.metric=test/elbos is in no run; did you mean test/elbo?" in process.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_damaged_run_is_named_and_the_others_are_drawn(vae_lab, tmp_path):
    assert vae_lab("train", "-m", *FAST, "seed=0,1", "sweep.name=mine").returncode == 0
    damaged = next(tmp_path.glob("outputs/runs/*/metrics.json"))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    process = vae_lab("figures", "mine")
    assert process.returncode == 1
    assert process.stderr.startswith("vae-lab figures: 1 done, 1 failed; each alone:\n")
    assert f"{damaged} is damaged" in process.stderr
    assert "1 of 2 runs" in (tmp_path / "outputs" / "sweeps" / "mine" / "table.md").read_text()
    assert vae_lab("train", "-m", *FAST, "seed=0,1", "sweep.name=mine").returncode == 0


def test_without_a_metric_the_runs_say_what_they_are_judged_by(vae_lab, tmp_path):
    process = vae_lab("train", "-m", *FAST, "estimator=autoencoder", "seed=0,1")
    assert process.returncode == 0, process.stderr
    assert "test/reconstruction" in (of_sweep(tmp_path) / "table.csv").read_text().splitlines()[0]


def test_of_a_nuisance_that_diverged_no_lucky_seed_is_taken(tmp_path):
    metrics = [-1.0, None, -3.0, -4.0]
    written = collected(tmp_path, metrics)
    roles = {"latent_dim": "nuisance", "seed": "repeats"}
    for entry, value in zip(written.entries, metrics, strict=True):
        path = entry.directory / "metrics.json"
        if value is not None:
            path.write_text(
                path.read_text().replace('"test/elbo"', f'"validation/elbo": {value}, "test/elbo"')
            )
    settings = table.collect(written._replace(roles=roles)).settings
    assert settings["latent_dim"].to_list() == ["3"]
    assert settings["repeats"].to_list() == [2]


def test_several_processes_get_a_command_of_their_own(vae_lab, tmp_path):
    process = vae_lab(
        *TWO, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "hydra.launcher.slots=1"
    )
    assert process.returncode == 0, process.stderr
    assert len(results(tmp_path)) == 2
    assert len(list(tmp_path.glob("outputs/sweeps/*"))) == 1  # no second sweep in a child


def test_hydras_own_launcher_for_debugging(vae_lab, tmp_path):
    process = vae_lab(*TWO, "hydra/launcher=basic")
    assert process.returncode == 0, process.stderr
    assert len(results(tmp_path)) == 2
    assert (of_sweep(tmp_path) / "table.csv").is_file()


def test_a_sweeper_that_optimises(vae_lab, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper", reason="vae-lab[optuna] is not installed")
    study = (
        "train -m hydra/sweeper=optuna hydra.sweeper.direction=maximize hydra.sweeper.n_trials=4 "
        "hydra.sweeper.n_jobs=2 hydra.sweeper.storage=sqlite:///study.db optimizer.lr=interval(1e-4,1e-1)"
    )
    process = vae_lab(*study.split(), *FAST)
    assert process.returncode == 0, process.stderr
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/metrics.json")]
    best = max(runs, key=lambda run: run["metrics"]["validation/elbo"])
    found = OmegaConf.load(tmp_path / "outputs" / "optimization_results.yaml")
    assert len(runs) == 4
    assert found.best_value == best["metrics"]["validation/elbo"]
    assert found.best_params["optimizer.lr"] == best["config"]["optimizer.lr"]


def test_settings_of_hydra_reach_the_jobs(vae_lab, tmp_path):
    process = vae_lab(
        *TWO, "hydra.job_logging.formatters.simple.format='MARK %(message)s'", "hydra.verbose=true"
    )
    assert process.returncode == 0, process.stderr
    logs = [path.read_text() for path in tmp_path.glob("outputs/runs/*/train.log")]
    assert len(logs) == 2
    assert all(log.startswith("MARK") for log in logs)


def test_queued_jobs_run_from_the_configuration_composed_at_submission(vae_lab, tmp_path):
    assert vae_lab(*TWO).returncode == 0
    for path in tmp_path.glob("outputs/runs/*/.hydra/config.yaml"):
        assert "${" not in path.read_text()
    written = manifest.read_manifest(of_sweep(tmp_path))
    assert set(written.code) == {"vae_lab", "git_commit", "git_diff"}
    assert [entry.point for entry in written.entries] == [{"latent_dim": "2"}, {"latent_dim": "3"}]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_stops_the_sweep_and_space_lets_it_go_on(vae_lab, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1100k", "tmpfs", str(small)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    try:
        command = [*TWO, "seed=0,1,2", f"output_dir={small}", "hydra.launcher.slots=1"]
        process = vae_lab(*command)
        assert process.returncode == 74
        assert "the disk is full. Make space and give the same command again" in process.stderr
        assert "Traceback" not in process.stderr
        done = len(list(small.glob("runs/*/metrics.json")))
        assert done < 6
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        again = vae_lab(*command)
        assert again.returncode == 0, again.stderr
        assert again.stdout.count("running: ") == 6 - done
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_the_sweeps_are_listed_with_their_questions(vae_lab):
    process = vae_lab("sweep")
    assert process.returncode == 0
    assert "estimator_variance" in process.stdout
    assert "How noisy is the gradient" in process.stdout
    unknown = vae_lab("sweep", "smok").stderr
    assert "smok is not a sweep; did you mean smoke?" in unknown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["smoke", "model.latnt_dim=3"], "model.latnt_dim does not exist; did you mean latent_dim?"),
        (
            ["smoke", "model.encoder.hidden.x=3"],
            "model.encoder.hidden.x does not exist: model.encoder.hidden",
        ),
        (
            ["rainforth2018_snr", "dataset.data_dm=3"],
            "dataset.data_dm does not exist; did you mean data_dim?",
        ),
        (["rainforth2018_snr", "probe.replicates=3"], "probe.replicates does not exist; did you mean num_re"),
        (["posterior_families", "data=mnst"], "data=mnst is not a value of this axis; did you mean mnist?"),
        (["outliers", "aginst=3"], "aginst does not exist; did you mean against?"),  # before it trains models
    ],
)
def test_a_mistake_in_a_named_sweep_is_told_by_the_configuration_that_it_has(here, tmp_path, words, message):
    process = here("sweep", *words)
    assert message in process.stderr
    assert process.stderr.startswith("vae-lab sweep: ")
    assert list(tmp_path.iterdir()) == []


def test_a_flag_or_a_request_for_help_starts_no_sweep(vae_lab, tmp_path):
    assert "usage: vae-lab sweep NAME" in vae_lab("sweep", "smoke", "--help").stdout
    assert "-m is not understood" in vae_lab("sweep", "-m", "smoke").stderr
    assert not (tmp_path / "outputs").exists()


def test_a_named_sweep_chooses_the_nuisance_on_the_validation_split(vae_lab, tmp_path):
    process = vae_lab("sweep", "smoke")
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "outputs" / "sweeps" / "smoke"
    runs = pl.read_parquet(folder / "runs.parquet")
    assert len(runs) == 8
    means = runs.group_by("latent_dim", "lr").agg(pl.col("validation/elbo", "test/elbo").mean())
    for row in pl.read_csv(folder / "table.csv").to_dicts():
        same = means.filter(pl.col("latent_dim") == str(row["latent_dim"])).sort("validation/elbo").to_dicts()
        assert float(same[-1]["lr"]) == row["lr"]
        assert same[-1]["test/elbo"] == pytest.approx(row["test/elbo"])
    assert "smoke" in vae_lab("sweep").stdout
    assert " 8 " in vae_lab("sweep").stdout
    assert "smoke: 8 done" in vae_lab("status", "smoke").stdout
    moved = tmp_path / "elsewhere"
    (tmp_path / "outputs").rename(moved)
    some = next(iter((moved / "runs").iterdir()))
    (some / "metrics.json").unlink()
    figures = vae_lab("figures", "elsewhere/sweeps/smoke")
    assert figures.returncode == 0, figures.stderr
    assert "smoke: 7 of 8 runs" in figures.stdout
    assert "7 of 8 runs" in (moved / "sweeps" / "smoke" / "table.md").read_text()
    assert "smoke: 7 done, 1 missing" in vae_lab("status", "elsewhere/sweeps/smoke").stdout
    nothing = vae_lab("figures", "elsewhere")
    assert nothing.returncode == 1
    assert "elsewhere is not the directory of a sweep" in nothing.stderr


def test_a_sweep_is_given_by_its_directory_or_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("outputs/sweeps/mine", "elsewhere/mine"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / manifest.FILE).touch()
    (tmp_path / "mine").mkdir()  # something else of this name
    assert manifest.directory_of("mine") == Path("outputs/sweeps/mine")
    assert manifest.directory_of("elsewhere/mine") == Path("elsewhere/mine")
    assert manifest.directory_of("elsewhere") == Path("elsewhere")
    assert manifest.directory_of("nothing") == Path("outputs/sweeps/nothing")
    with pytest.raises(UserError, match="run=mine is a sweep; write runs=mine for all its runs"):
        find_run("mine", "outputs")


def test_a_table_that_goes_to_a_file_is_not_cut(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    table = Table("a" * 60, "-40.40 to -39.12")
    printed = io.StringIO()
    output.plain_console(file=printed).print(table)
    assert "a" * 60 in printed.getvalue()
    assert "-40.40 to -39.12" in printed.getvalue()


@pytest.mark.slow
def test_curves_of_settings(vae_lab, tmp_path):
    common = [
        "sweep",
        "reinforce_vs_reparameterized",
        "dataset=digits",
        "trainer.max_samples=500",
        "logger=none",
    ]
    process = vae_lab(*common, "seed=0,1", "estimator=reparameterized,autoencoder")
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "outputs" / "sweeps" / "reinforce_vs_reparameterized"
    rows = pl.read_csv(folder / "table.csv")
    assert rows["estimator"].to_list() == ["reparameterized", "autoencoder"]
    assert rows["repeats"].to_list() == [2, 0]  # an autoencoder has no bound
    assert (folder / "figure.png").is_file()


def collected(tmp_path, metrics):
    """A sweep of two settings and two seeds, from files alone."""
    entries = []
    for number, (dim, seed) in enumerate(itertools.product("23", "01")):
        folder = tmp_path / "runs" / str(number)
        folder.mkdir(parents=True)
        entries.append(manifest.Entry({"latent_dim": dim, "seed": seed}, folder))
        if metrics[number] is not None:
            result = {
                "signature": str(number),
                "metrics": {"test/elbo": metrics[number]},
                "provenance": {"device": "cpu", "threads": 1 + number % 2},
                "config": {"model.latent_dim": int(dim)},
            }
            (folder / "metrics.json").write_text(json.dumps(result))
    roles = {"latent_dim": "scientific", "seed": "repeats"}
    return manifest.Manifest("name", "Why?", "train", "against", "test/elbo", roles, entries, {})


def test_a_half_finished_sweep_says_what_is_missing_and_mixed(tmp_path):
    results = table.collect(collected(tmp_path, [-1.0, -3.0, -2.0, None]))
    assert results.counts == "3 of 4 runs"
    assert results.settings["test/elbo"].to_list() == [-2.0, -2.0]
    assert results.settings["repeats"].to_list() == [2, 1]
    assert results.settings["low"][1] == results.settings["high"][1] == -2.0
    assert results.warnings == ["The runs mix numbers of threads: 1, 2."]
    assert [(entry.label, state) for entry, state, _ in results.missing] == [
        ("latent_dim=3 seed=1", "missing")
    ]


def test_a_sweep_without_a_result_has_no_table(tmp_path):
    results = table.collect(collected(tmp_path, [None] * 4))
    assert table.write_table(results, tmp_path) == []
    assert results.counts == "0 of 4 runs"


def test_words_and_numbers_in_one_column(tmp_path):
    written = collected(tmp_path, [-1.0, -3.0, -2.0, -4.0])
    path = written.entries[0].directory / "metrics.json"
    path.write_text(path.read_text().replace('"model.latent_dim": 2', '"model.latent_dim": "auto"'))
    assert table.collect(written).runs["config.model.latent_dim"].to_list() == ["auto", "2", "3", "3"]


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_every_setting_of_every_sweep_composes_and_can_be_built(path, request, tmp_path, monkeypatch):
    schema.register_schemas()
    signature.register_signature()
    settings = OmegaConf.to_container(OmegaConf.load(path).sweep)
    if "models" in settings:  # whose runs are those of another sweep
        of_models = OmegaConf.load(path.with_name(f"{settings['models']}.yaml")).sweep.scientific
        assert set(settings["scientific"]["question"]) == set(of_models.question)
        return
    if "fraud.npz" in path.read_text():
        np.savez(tmp_path / "fraud.npz", **fraud_like())
        monkeypatch.chdir(tmp_path)
    common = [f"hydra.searchpath=[file://{ROOT}]", f"+sweeps={path.stem}", "logger=none"]
    if any(word in path.read_text() for word in ("train_size", "dataset=frey_face", "[dataset=mnist")):
        request.getfixturevalue("real_data")
    elif "experiment: mohamed2020" not in path.read_text():  # of one dataset
        common.append("dataset=digits")
    common += [word for word in settings.get("without_data", []) if word != "dataset=digits"]
    check = check_of(settings.get("command", "train"))
    of = [
        axis._replace(values=dict([*axis.values.items()][:1])) if axis.key == "seed" else axis
        for axis in axes(settings, [])[0]
    ]
    seen = set()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for point in sorted(points(of), key=lambda point: point.labels.get("data", "")):  # each loaded once
            cfg = compose(settings.get("command", "train"), [*common, *point.overrides])
            seen.add(signature.signature(cfg))
            check(cfg)
    assert len(seen) == len(points(of))


@pytest.mark.parametrize("kind", FIGURES)
def test_every_kind_of_figure_has_its_function(kind):
    module, _, function = FIGURES[kind].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_sweep_names_a_kind_of_figure():
    asked = {OmegaConf.load(path).sweep.get("figure", "against") for path in FILES} - {None, "default"}
    assert asked <= set(FIGURES)


def test_every_file_of_a_sweep_says_what_it_asks():
    for path in FILES:
        text = path.read_text()
        assert text.startswith("# @package _global_\n# "), path
        assert text.splitlines()[1].endswith("?"), path
        assert "Scientific axis" in text, path
        assert "Nuisance" in text, path
        assert "Repeats" in text, path
        assert set(OmegaConf.load(path).sweep) <= set(manifest.__annotations__) | {
            "command", "scientific", "nuisance", "repeats", "figure", "metric", "models", "without_data",
        }  # fmt: skip


def test_a_job_is_forked_from_a_process_without_threads_of_polars():
    """Whose locks a fork would copy as they are: the job would wait for them for ever."""
    code = (
        "import sys, vae_lab.sweep.launchers.forkserver_imports; "
        "sys.exit(any(name.startswith('polars') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment()).returncode == 0
