"""`vae-lab gradients`, the probe as a callback, and named sweeps, as a user types them."""

import csv
import json
import math
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest
import torch
from conftest import environment, only

QUICK = ["trainer.max_epochs=3", "logger=none", "trainer.progress=false"]
SMALL = ["probe.num_replicates=12", "probe.batch_size=20", "probe.warm_up=3"]


def test_a_fresh_model(vae_lab, tmp_path):
    process = vae_lab("gradients", *SMALL)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    directory = only(tmp_path / "outputs" / "gradients")
    table = pl.read_parquet(directory / "gradients.parquet")
    assert set(table["samples"]) == {0}
    assert set(table["status"]) == {"ok"}
    assert {"outputs.mean", "encoder", "encoder.layers.0", "decoder"} <= set(table["group"])
    assert table["estimator"].n_unique() == 11
    assert {path.name for path in (directory / "figures").iterdir()} == {
        "variance.png",
        "variance_at_equal_cost.png",
    }
    assert not (tmp_path / "outputs" / "runs").exists()
    assert "sticking_the_landing" in process.stdout
    lines = [line for line in process.stdout.splitlines() if not line.startswith("in ")]
    assert max(map(len, lines)) <= 88
    again = vae_lab("gradients", *SMALL)
    assert "measured already" in again.stdout
    assert again.stdout.splitlines()[1:] == process.stdout.splitlines()
    other = vae_lab("gradients", *SMALL, "seed=1", "probe.chunk=3", "estimators=pathwise")
    assert other.returncode == 0


def test_a_run_keeps_its_own_noise_and_evaluation(vae_lab, tmp_path):
    own = ("noise=antithetic", "estimator.num_samples=2", "evaluation.importance_samples=3")
    trained = vae_lab("train", *QUICK, *own, "logger=none")
    assert trained.returncode == 0, trained.stderr
    run = only(tmp_path / "outputs" / "runs")
    process = vae_lab("gradients", *SMALL, "estimators=pathwise", f"run={run.name}", "at=[0,last]")
    assert process.returncode == 0, process.stderr
    measured = pl.read_parquet(only(tmp_path / "outputs" / "gradients") / "gradients.parquet")
    assert measured["run"].unique().to_list() == [run.name]


def test_along_a_training_that_it_makes_and_from_the_finished_run(vae_lab, tmp_path):
    process = vae_lab("gradients", *SMALL, *QUICK, "estimators=pathwise", "at=[0,1200,last]")
    assert process.returncode == 0, process.stderr
    directory = only(tmp_path / "outputs" / "gradients")
    table = pl.read_parquet(directory / "gradients.parquet")
    assert table["samples"].unique().sort().to_list() == [0, 1200, 3800]
    assert (directory / "figures" / "variance_against_samples.png").is_file()
    run = only(tmp_path / "outputs" / "runs")
    assert (run / "metrics.json").is_file()
    for named in (run.name, str(run)):
        taken = vae_lab("gradients", *SMALL, "estimators=pathwise", f"run={named}", "at=[1200,last]")
        assert taken.returncode == 0, taken.stderr
    newest = max((tmp_path / "outputs" / "gradients").iterdir(), key=lambda path: path.stat().st_mtime)
    same = pl.read_parquet(newest / "gradients.parquet")
    columns = ["state", "estimator", "group", "trace", "bias", "minibatch_trace"]
    assert same.select(columns).equals(table.filter(pl.col("samples") > 0).select(columns))
    checkpoint = run / "checkpoints" / "last.ckpt"
    assert vae_lab("gradients", *SMALL, "estimators=pathwise", f"at={checkpoint}").returncode == 0
    other = vae_lab("gradients", *SMALL, f"at={checkpoint}", "model.latent_dim=3")
    assert other.returncode == 1
    assert "is of another model: decoder.layers.0.weight is (128, 8) there and (128, 3) here" in other.stderr
    contrary = vae_lab("gradients", *SMALL, f"run={run.name}", "at=last", "model.latent_dim=3")
    assert "run= gives the model and its training: leave out model.latent_dim=3." in contrary.stderr
    small = vae_lab("gradients", *SMALL, "estimators=pathwise", f"at={checkpoint}", "dataset.batch_size=10")
    assert "after 3,800 training samples" in small.stdout
    missing = vae_lab("gradients", *SMALL, f"run={run.name}", "at=500")
    assert "does not exist. There are: 1200, last." in missing.stderr
    assert missing.returncode == 1
    late = vae_lab("gradients", *SMALL, *QUICK, "at=1e6")
    assert "at=1000000 lies beyond the training, which ends at 3800 samples" in late.stderr


MISTAKES = {
    "probe.num_replicates=0": "probe.num_replicates must be at least 2 to show a variance, got 0.",
    "probe.num_replicates=1": "probe.num_replicates must be at least 2 to show a variance, got 1.",
    "probe.batch_size=2000": "probe.batch_size must be at most 1237, the size of the train part, got 2000.",
    "probe.batch_size=200 probe.split=validation": "at most 200, the size of the validation part",
    "probe.split=tests": "probe.split must be one of train, validation, test, got 'tests'.",
    "probe.replicates=3": "probe.replicates does not exist; did you mean num_replicates?",
    "estimators=all": "estimators=all is not an option. There are: control_variates,",
    "estimators.rloo.num_samples=1": "estimators.rloo.num_samples must be at least 2 for baseline=leave_one",
    "estimators.rao_blackwell.kl=analytic": "estimators.rao_blackwell.rao_blackwell needs kl=sampled",
    "estimators.rlo.num_samples=4": "estimators.rlo does not exist; did you mean rloo?",
    "+estimator@estimators.plain=autoencoder": "estimators.plain: uses no noise, so that its gradient",
    "noise=antithetic": "estimators.reparameterized_analytic: num_samples must be even for antithetic pairs",
    "noise=antithetic estimators=importance_weighted": (
        "estimators.iwae: needs independent samples, and AntitheticNoise makes those of a datum dependent"
    ),
    "at=best": "at=best needs a training with trainer.select=best, got trainer.select=last.",
    "at=[]": "at must name at least one state, got [].",
    "at=-3": "at must hold sample counts of at least 0, last, best or paths of checkpoints, got -3.",
    "at=nowhere.ckpt": "at=nowhere: nowhere.ckpt does not exist. There are: none.",
    "run=0123": "run=0123 is neither a run's directory nor a signature",
    "sed=3": "sed does not exist; did you mean seed?",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_message_and_leaves_nothing(mistake, monkeypatch, tmp_path, capsys):
    from vae_lab.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_lab.config.explain.WANTS_TRACEBACK", False)
    expected = MISTAKES[mistake]
    if mistake.endswith("split=validation"):
        mistake += " dataset.validation_size=150"
        expected = "at most 150, the size of the validation part"
    with pytest.raises(SystemExit) as stop:
        main(["gradients", *mistake.split()])
    message = str(stop.value.code)
    assert message.startswith("vae-lab gradients: ")
    assert expected in message
    assert "\n" not in message.strip()
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("*.parquet"))
    assert not list((tmp_path / "outputs").rglob("metrics.json"))


DIVERGING = """
from vae_lab.estimators import StickingTheLanding

class Diverging(StickingTheLanding):
    def forward(self, vae, batch, noise):
        estimate = super().forward(vae, batch, noise)
        return estimate._replace(surrogate=estimate.surrogate * float("inf"))
"""


def test_an_estimator_that_is_not_finite_is_named(tmp_path):
    (tmp_path / "mine.py").write_text(DIVERGING)
    added = ["estimators=pathwise", "estimators.sticking_the_landing._target_=mine.Diverging"]
    process = subprocess.run(
        [sys.executable, "-m", "vae_lab", "gradients", *SMALL, *added],
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    table = pl.read_parquet(only(tmp_path / "outputs" / "gradients") / "gradients.parquet")
    status = {row["estimator"]: row["status"] for row in table.to_dicts()}
    assert status["sticking_the_landing"].startswith("not finite in ")
    assert status["reparameterized_analytic"] == "ok"
    assert "not finite in" in process.stdout


def test_a_training_that_was_killed_is_ended_before_it_is_measured(vae_lab, tmp_path):
    """Its `last.ckpt` is then of any step."""
    asked = ["gradients", *SMALL, *QUICK[1:], "estimators=pathwise", "trainer.max_samples=1000"]
    asked += ["at=[500,last]"]
    process = vae_lab(*asked)
    assert process.returncode == 0, process.stderr
    measured = only(tmp_path / "outputs" / "gradients") / "gradients.parquet"
    first = pl.read_parquet(measured)
    assert set(first["samples"]) == {500, 1000}
    training = only(tmp_path / "outputs" / "runs")
    (training / "metrics.json").unlink()
    shutil.copy(training / "checkpoints" / "samples=000000500.ckpt", training / "checkpoints" / "last.ckpt")
    process = vae_lab(*asked, "rerun=true")
    assert process.returncode == 0, process.stderr
    assert (training / "metrics.json").is_file()
    again = pl.read_parquet(measured)
    assert set(again["samples"]) == {500, 1000}
    assert again["trace"].equals(first["trace"])


def test_a_multirun_measures_each(vae_lab, tmp_path):
    process = vae_lab("gradients", "-m", *SMALL, "estimators=pathwise", "model.latent_dim=2,3")
    assert process.returncode == 0, process.stderr
    tables = [
        pl.read_parquet(path / "gradients.parquet") for path in (tmp_path / "outputs" / "gradients").iterdir()
    ]
    assert sorted(table["latent_dim"][0] for table in tables) == [2, 3]


def weights(run):
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["state_dict"]


def rows(run):
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


PROBE = [
    "callbacks=estimator_probe",
    "estimators@callbacks.estimator_probe.estimators=single_sample",
    "callbacks.estimator_probe.every=10",
    "callbacks.estimator_probe.probe.num_replicates=8",
    "callbacks.estimator_probe.probe.warm_up=2",
]


@pytest.mark.slow
def test_a_probed_training_ends_in_the_same_weights(vae_lab, tmp_path):
    runs = {}
    for name, extra in {"plain": [], "probed": PROBE}.items():
        runs[name] = tmp_path / name
        process = vae_lab(
            "train", *QUICK, "estimator=nvil", *extra, f"hydra.run.dir={runs[name]}", "logger=wandb"
        )
        assert process.returncode == 0, process.stderr
    plain, probed = weights(runs["plain"]), weights(runs["probed"])
    assert plain.keys() == probed.keys()
    assert all(torch.equal(plain[name], probed[name]) for name in plain)
    results = [json.loads((run / "metrics.json").read_text()) for run in runs.values()]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["signature"] == results[1]["signature"]
    name = "probe/rloo/encoder/variance"
    measured = [row for row in rows(runs["probed"]) if row.get(name)]
    assert [int(row["step"]) for row in measured] == [0, 10, 20, 30]
    assert all(float(row[name]) > 0 for row in measured)


@pytest.mark.slow
def test_a_continued_training_is_probed_as_an_uninterrupted_one(vae_lab, tmp_path):
    short = ["logger=none", "trainer.progress=false", "estimator=nvil", *PROBE]
    assert vae_lab("train", *short, "trainer.max_epochs=1").returncode == 0
    assert vae_lab("train", *short, "trainer.max_epochs=3").returncode == 0
    whole = tmp_path / "whole"
    process = vae_lab("train", *short, "trainer.max_epochs=3", f"hydra.run.dir={whole}")
    assert process.returncode == 0, process.stderr
    continued = next(
        path
        for path in (tmp_path / "outputs" / "runs").iterdir()
        if json.loads((path / "metrics.json").read_text())["metrics"]["samples"] == 3800
    )
    measured = [
        [row for row in rows(run) if row.get("probe/nvil/encoder/variance")] for run in (continued, whole)
    ]
    assert len(measured[0]) == len(measured[1]) == 4
    for one, other in zip(*measured, strict=True):
        assert {key: one[key] for key in one if key.startswith("probe/")} == {
            key: other[key] for key in one if key.startswith("probe/")
        }


def test_a_mistake_in_the_callback_is_named(vae_lab):
    process = vae_lab("train", "callbacks=estimator_probe", "callbacks.estimator_probe.every=0")
    assert process.returncode == 1
    assert "callbacks.estimator_probe.every must be at least 1, got 0." in process.stderr


def test_the_test_curve_ends_in_the_value_of_the_test(vae_lab, tmp_path):
    process = vae_lab("train", *QUICK, "evaluation.test_curve=true")
    assert process.returncode == 0, process.stderr
    run = only(tmp_path / "outputs" / "runs")
    curve = [float(row["test_curve/elbo"]) for row in rows(run) if row.get("test_curve/elbo")]
    assert len(curve) == 3
    assert curve[-1] == json.loads((run / "metrics.json").read_text())["metrics"]["test/elbo"]


def test_a_checkpoint_that_has_changed_is_measured_again(vae_lab, tmp_path):
    for samples in (500, 1000):
        trained = vae_lab(
            "train", "logger=none", f"trainer.max_samples={samples}", f"hydra.run.dir={samples}"
        )
        assert trained.returncode == 0, trained.stderr
    place = tmp_path / "here.ckpt"
    command = ["gradients", *SMALL, "estimators=pathwise", "at=here.ckpt"]
    for samples in (500, 1000):
        place.write_bytes((tmp_path / str(samples) / "checkpoints" / "last.ckpt").read_bytes())
        assert f"after {samples:,} training samples" in vae_lab(*command).stdout
    assert "measured already" in vae_lab(*command).stdout


@pytest.mark.slow
def test_the_variance_sweep_falls_back_to_the_digits_where_mnist_is_absent(vae_lab, tmp_path):
    process = vae_lab(
        "sweep",
        "estimator_variance",
        "trainer.max_samples=2000",
        "at=[0,1000]",
        "probe.num_replicates=10",
        env={"VAE_LAB_DATA": str(tmp_path)},
    )
    assert process.returncode == 0, process.stderr
    assert "note: the files of vae_lab.datasets.MNIST are not in" in process.stdout
    table = pl.read_csv(tmp_path / "outputs" / "sweeps" / "estimator_variance" / "gradients.csv")
    assert set(table["dataset"]) == {"Digits"}
    assert table["estimator"].n_unique() == 16


@pytest.mark.slow
def test_orderings_on_a_partly_trained_mnist_vae(vae_lab, real_data, tmp_path):
    """Late, sticking the landing is lowest; REINFORCE stays 1e3 times and more above pathwise."""
    process = vae_lab(
        "gradients",
        "dataset=mnist",
        "model=kingma2014",
        "optimizer=adagrad",
        "optimizer.lr=0.02",
        "trainer.max_samples=2e5",
        "trainer.evaluate_at=end",
        "evaluation.importance_samples=1",
        "logger=none",
        "trainer.progress=false",
        "at=[10000,2e5]",
        "probe.split=test",
        "probe.minibatch=false",
        env={"VAE_LAB_DATA": os.environ["VAE_LAB_DATA"]},
        timeout=600,
    )
    assert process.returncode == 0, process.stderr
    table = pl.read_parquet(only(tmp_path / "outputs" / "gradients") / "gradients.parquet")
    table = table.filter(pl.col("group") == "outputs.mean")
    early, late = (
        {row["estimator"]: row["variance"] for row in table.filter(pl.col("samples") == samples).to_dicts()}
        for samples in (10_000, 200_000)
    )
    for found in (early, late):
        assert found["reparameterized_analytic"] < found["reparameterized_sampled"]
        assert found["reparameterized_analytic"] < found["rloo"] < found["batch_mean"]
        assert found["batch_mean"] < found["score_function"]
        assert 1e3 < found["score_function"] / found["reparameterized_analytic"] < 1e6
    assert early["sticking_the_landing"] > early["reparameterized_analytic"]
    assert late["sticking_the_landing"] < late["reparameterized_analytic"]
    assert all(math.isfinite(value) for value in [*early.values(), *late.values()])
