"""`vae-lab train` as people type it: its files, its table, resume, continuation, processes, tracking."""

import csv
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from conftest import REPOSITORY, environment, history, records, result

SHORT = ["trainer.max_epochs=3", "evaluation.importance_samples=5"]
QUIET = [*SHORT, "logger=none"]


def weights(directory):
    return torch.load(directory / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def same_weights(first, second):
    first, second = weights(first), weights(second)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rows(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_default_run_leaves_numbers_and_figures_in_under_a_minute(vae_lab, tmp_path):
    started = time.monotonic()
    process = vae_lab("train")
    seconds = time.monotonic() - started
    assert process.returncode == 0, process.stderr
    assert seconds < 60
    (directory,) = (tmp_path / "outputs" / "runs").iterdir()
    for name in (
        "metrics.csv",
        "metrics.json",
        ".hydra/config.yaml",
        "checkpoints/last.ckpt",
        "figures/learning_curve.png",
        "figures/reconstructions.png",
        "figures/prior_samples.png",
    ):
        assert (directory / name).stat().st_size > 0, name
    assert (directory / "metrics.json").stat().st_mtime_ns == max(
        path.stat().st_mtime_ns
        for path in directory.rglob("*")
        if path.is_file() and "wandb" not in path.parts
    )
    metrics = result(directory)["metrics"]
    assert -25 < metrics["test/elbo"] < metrics["test/log_likelihood"] < -22
    assert metrics["test/elbo"] == pytest.approx(metrics["test/reconstruction"] - metrics["test/kl"])
    for line in (
        "test ELBO",
        "reconstruction",
        "KL",
        "log-likelihood",
        "K = 100",
        "active units",
        "samples/s",
    ):
        assert line in process.stdout
    assert f"{metrics['test/elbo']:.2f}" in process.stdout
    assert str(directory.relative_to(tmp_path)) in process.stdout


def test_a_finished_run_is_not_done_again_unless_asked(vae_lab, tmp_path):
    first = vae_lab("train", *QUIET, "hydra.run.dir=run")
    stamp = (tmp_path / "run" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    started = time.monotonic()
    second = vae_lab("train", *QUIET, "hydra.run.dir=run", module="vae_lab")
    assert time.monotonic() - started < 3  # no torch import
    assert "This configuration is done already; rerun=true repeats the run." in second.stdout
    assert first.stdout.splitlines()[0] in second.stdout
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == stamp
    refused = vae_lab("train", *QUIET, "hydra.run.dir=run", "trainer.num_nodes=1e-300")
    assert "trainer.num_nodes must be int, got 1e-300." in refused.stderr
    assert not (tmp_path / "run" / "failure.json").exists()
    before = result(tmp_path / "run")["metrics"]
    vae_lab("train", *QUIET, "hydra.run.dir=run", "rerun=true")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").stat().st_mtime_ns > stamp
    assert result(tmp_path / "run")["metrics"] == before


def test_one_seed_repeats_bit_for_bit_and_seeds_0_and_1_differ(vae_lab, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        process = vae_lab("train", *QUIET, f"seed={seed}", f"hydra.run.dir={name}")
        assert process.returncode == 0, process.stderr
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert result(tmp_path / "a")["metrics"] == result(tmp_path / "b")["metrics"]
    assert not same_weights(tmp_path / "a", tmp_path / "c")
    assert result(tmp_path / "a")["metrics"] != result(tmp_path / "c")["metrics"]


LONGER = [*SHORT, "trainer.max_epochs=60", "trainer.evaluate_at=700"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that was never interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start(folder, *LONGER, "hydra.run.dir=run").wait(timeout=120)
    return folder / "run"


def start(cwd, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "vae_lab", "train", *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.parametrize("disposition", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_is_left_as_it_was(tmp_path, disposition):
    before = signal.signal(signal.SIGTERM, disposition)  # inherited where it is ignored
    try:
        process = start(tmp_path, *LONGER, "hydra.run.dir=run")
    finally:
        signal.signal(signal.SIGTERM, before)
    while not (tmp_path / "run" / "metrics.csv").exists():
        time.sleep(0.02)
    process.terminate()
    ignored = disposition == signal.SIG_IGN
    assert process.wait(timeout=120) == (0 if ignored else -signal.SIGTERM)
    assert (tmp_path / "run" / "metrics.json").exists() == ignored


@pytest.mark.slow
@pytest.mark.parametrize("select", ["last", "best"])
def test_kill_9_at_random_moments_changes_nothing(tmp_path, undisturbed, select):
    arguments = [*LONGER, f"trainer.select={select}"]
    if select == "best":
        start(tmp_path, *arguments, "hydra.run.dir=whole").wait(timeout=120)
        undisturbed = tmp_path / "whole"
    run = tmp_path / "run"
    moments, kills = random.Random(0), 0
    while not (run / "metrics.json").exists():
        process = start(tmp_path, *arguments, "hydra.run.dir=run", "trainer.checkpoint_seconds=0.05")
        beginning = time.monotonic()
        patience = moments.uniform(0.1, 0.6) if kills < 5 else 120
        while process.poll() is None and time.monotonic() - beginning < 100:
            if (run / "metrics.csv").exists() and kills < 5:
                time.sleep(patience)  # from the first row on, at any moment
                process.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.02)
        assert process.wait(timeout=120) in (0, -signal.SIGKILL)
    assert kills == 5
    assert same_weights(undisturbed, run)
    assert (undisturbed / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    whole, resumed = result(undisturbed), result(run)
    assert whole["metrics"] == resumed["metrics"]
    assert whole["signature"] == resumed["signature"]
    (tracked,) = run.glob("wandb/offline-run-*/*.wandb")
    logged = [record for record in history(tracked) if not any("figures" in name for name in record)]
    assert len(logged) == len(rows(run))
    for record, row in zip(logged, rows(run), strict=True):
        assert str(record.pop("trainer/global_step")) == row.pop("step")
        numbers = {name: float(value) for name, value in row.items() if value}
        assert {name: value for name, value in record.items() if not name.startswith("_")} == numbers


def test_a_longer_budget_continues_a_finished_shorter_run(vae_lab, tmp_path):
    arguments = ["logger=none", "trainer.evaluate_at=end", "evaluation.importance_samples=5"]
    vae_lab("train", *arguments, "trainer.max_samples=4000")
    longer = vae_lab("train", *arguments, "trainer.max_samples=9000")
    vae_lab("train", *arguments, "trainer.max_samples=9000", "output_dir=fresh")
    assert "continuing at 4,000 samples" in longer.stderr
    assert "samples/s, 9,000 samples" in longer.stdout
    continued = find(tmp_path / "outputs" / "runs", 9000)
    whole = find(tmp_path / "fresh" / "runs", 9000)
    assert "4000" in [row["samples"] for row in rows(continued) if row["validation/elbo"]]  # taken over
    assert same_weights(continued, whole)
    assert result(continued)["metrics"] == result(whole)["metrics"]


def find(folder, samples):
    (found,) = [path for path in folder.iterdir() if result(path)["metrics"]["samples"] == samples]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [
        ["estimator=reparameterized"],
        [
            "estimator=nvil",
            "estimator/baseline=[running_mean,network,variance_normalization]",
            "estimator.kl=sampled",
        ],
        ["estimator=full_variational_bayes"],
    ],
    ids=["reparameterized", "nvil", "full_variational_bayes"],
)
def test_two_processes_equal_one_at_the_same_global_batch(vae_lab, tmp_path, estimator):
    common = ["logger=none", "trainer.precision=64-true", "trainer.max_epochs=6", "dataset.test_size=361"]
    common += estimator
    one = vae_lab("train", *common, "hydra.run.dir=one")
    two = vae_lab("train", *common, "hydra.run.dir=two", "trainer=ddp", "trainer.accelerator=cpu")
    assert one.returncode == two.returncode == 0, two.stderr
    assert "Warning" not in two.stderr
    first, second = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(first) == len(second) > 6
    for a, b in zip(first, second, strict=True):
        for name in a:
            assert (a[name] == "") == (b[name] == "")
            if a[name]:
                assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-11, abs=1e-11), name
    for name, tensor in weights(tmp_path / "one").items():
        assert torch.allclose(tensor, weights(tmp_path / "two")[name], rtol=1e-9, atol=1e-11)


def test_alternating_steps_move_one_network_at_a_time(vae_lab, tmp_path):
    vae_lab("train", "logger=none", "trainer=debug", "trainer.alternate=true", "hydra.run.dir=run",
            "trainer.max_samples=400", "trainer.checkpoint_at=100")  # fmt: skip
    states = [
        torch.load(path, weights_only=True)["state_dict"]
        for path in sorted((tmp_path / "run" / "checkpoints").glob("samples=*.ckpt"))
    ]
    assert len(states) == 4
    for step, (before, after) in enumerate(zip(states, states[1:], strict=False), start=1):
        moved = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
        assert moved == ({"decoder"} if step % 2 else {"encoder"})


def test_a_frozen_configuration_runs_again(vae_lab, tmp_path):
    vae_lab("train", *QUIET, "model.latent_dim=3", "hydra.run.dir=run")
    frozen = ["--config-path", "run/.hydra", "--config-name", "config", "hydra.run.dir=again"]
    process = vae_lab("train", *frozen)
    assert process.returncode == 0, process.stderr
    assert result(tmp_path / "run")["metrics"] == result(tmp_path / "again")["metrics"]


def test_checkpoints_and_evaluations_at_sample_counts(vae_lab, tmp_path):
    vae_lab("train", "logger=none", "hydra.run.dir=run", "trainer.max_samples=5000",
            "trainer.evaluate_at=log", "trainer.checkpoint_at=[500,2050]")  # fmt: skip
    evaluated = [int(row["samples"]) for row in rows(tmp_path / "run") if row["validation/elbo"]]
    assert evaluated[0] == 100
    assert evaluated[-1] == 5000
    assert {200, 400, 1000, 2000} <= set(evaluated)
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["last.ckpt", "samples=000000500.ckpt", "samples=000002100.ckpt"]


def test_the_autoencoder_has_no_likelihood(vae_lab, tmp_path):
    process = vae_lab("train", *QUIET, "estimator=autoencoder", "hydra.run.dir=run")
    assert process.returncode == 0, process.stderr
    lines = {line.split("  ")[0]: line for line in process.stdout.splitlines()}
    for name in ("test ELBO", "KL", "log-likelihood"):
        assert "n/a" in lines[name]
    assert "test/elbo" not in result(tmp_path / "run")["metrics"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["model=conv", "estimator=score_function", "estimator.num_samples=2",
         "estimator/baseline=leave_one_out"],
        ["model=relu2", "model/posterior=isotropic_gaussian", "optimizer=adagrad", "estimator.kl=entropy"],
        ["dataset=ppca", "model=linear", "optimizer=sgd", "estimator.kl=sampled"],
        ["model/likelihood=gaussian", "dataset.binarize=none", "trainer.precision=bf16-mixed"],
        ["optimizer/schedule=exponential", "estimator.beta=2", "trainer.select=best"],
        ["model/encoder=per_datum", "estimator=iwae", "trainer.precision=bf16-mixed",
         "evaluation.fit.num_steps=5"],
        ["dataset.validation_size=0", "trainer.options={gradient_clip_val: 1.0}"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_combinations(vae_lab, tmp_path, arguments):
    process = vae_lab("train", *QUIET, *arguments, "hydra.run.dir=run")
    assert process.returncode == 0, process.stderr
    assert result(tmp_path / "run")["metrics"]["test/elbo"] < 0
    assert "Warning" not in process.stderr


def test_soft_targets_are_named(vae_lab, tmp_path):
    process = vae_lab("train", *QUIET, "dataset.binarize=none", "hydra.run.dir=run")
    note = "Bernoulli on grey values is a cross-entropy with soft targets, not a likelihood"
    assert process.stdout.count(note) == 1
    assert result(tmp_path / "run")["notes"] == [note]


def test_a_multirun_makes_two_runs_and_two_runs_at_the_tracker(vae_lab, tmp_path):
    process = vae_lab("train", *SHORT, "-m", "model.latent_dim=2,3")
    assert process.returncode == 0, process.stderr
    files = sorted((tmp_path / "outputs" / "runs").glob("*/wandb/offline-run-*/*.wandb"))
    assert len(files) == 2
    (summary,) = tmp_path.glob("outputs/sweeps/*/wandb/offline-run-*/*.wandb")
    (sweep,) = (tmp_path / "outputs" / "sweeps").iterdir()
    for file in (*files, summary):
        (run,) = [record["run"] for record in records(file) if record["type"] == "run"]
        assert run["run_group"] == sweep.name
        assert run["job_type"] == ("summary" if file == summary else "Reparameterized")
    assert any("figures/figure.path" in record for record in history(summary))
    for file in files:
        directory = file.parents[2]
        assert file.name == f"run-{directory.name}.wandb"  # the signature is the id
        logged = history(file)
        assert any("validation/elbo" in record and "samples" in record for record in logged)
        assert any("figures/prior_samples" in str(record) for record in logged)


def test_an_api_key_reaches_no_file(vae_lab, tmp_path):
    key = "0123456789abcdef" * 2 + "01234567"
    process = vae_lab("train", *SHORT, env={"WANDB_API_KEY": key, "HOME": str(tmp_path / "home")})
    assert process.returncode == 0, process.stderr
    for path in tmp_path.rglob("*"):
        assert not (path.is_file() and key.encode() in path.read_bytes()), path


def test_asking_for_the_service_without_a_network_goes_offline(vae_lab, tmp_path):
    key, url = "0123456789abcdef" * 2 + "01234567", "http://127.0.0.1:9"
    started = time.monotonic()
    process = vae_lab(
        "train", *SHORT, "logger.mode=online", env={"WANDB_API_KEY": key, "WANDB_BASE_URL": url}
    )
    assert process.returncode == 0, process.stderr
    assert "W&B goes offline: 127.0.0.1 cannot be reached" in process.stderr
    assert time.monotonic() - started < 60
    assert list(tmp_path.glob("outputs/runs/*/wandb/offline-run-*/*.wandb"))


def test_help_and_completion_answer_at_once_without_torch(vae_lab, tmp_path):
    for arguments, expected in (
        (["--help"], "vae-lab COMMAND"),
        (
            ["gradients", "--help"],
            "estimators: control_variates, discrete, groups, importance_weighted,",
        ),
        (["sweep"], "estimator_variance"),
        (["train", "--help"], "estimator: arm, autoencoder, ciwae, delta_method, disarm, dreg,"),
    ):
        process = vae_lab(*arguments)
        assert process.returncode == 0
        assert expected in process.stdout
    line = {"COMP_LINE": "vae-lab train estimator="}
    assert "estimator=score_function" in vae_lab("-sc", "query=bash", env=line).stdout
    assert vae_lab("-sc", "query=bash", env={"COMP_LINE": "vae-lab tr"}).stdout.split() == ["train"]
    sweeps = vae_lab("-sc", "query=bash", env={"COMP_LINE": "vae-lab sweep estimator_v"}).stdout.split()
    assert sweeps == ["estimator_variance"]
    for arguments in (["train", "--help"], ["gradients", "--help"], ["sweep"]):
        command = [sys.executable, "-X", "importtime", "-m", "vae_lab", *arguments]
        imported = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stderr
        modules = {line.rsplit("|", 1)[-1].strip() for line in imported.splitlines()}
        assert not modules & {"torch", "pytorch_lightning", "wandb", "matplotlib", "numpy", "polars", "scipy"}


@pytest.mark.slow
def test_a_wheel_installed_in_a_clean_environment(tmp_path):
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is not here to build and install a wheel")

    def run(*command):
        variables = {name: value for name, value in environment().items() if name != "VIRTUAL_ENV"}
        process = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        return process.stdout

    run(uv, "build", "--wheel", "--out-dir", str(tmp_path), str(REPOSITORY))
    (wheel,) = tmp_path.glob("*.whl")
    here = run(uv, "pip", "freeze", "--python", sys.executable, "--exclude-editable")
    (tmp_path / "here.txt").write_text(here)  # the versions that are in the cache
    run(uv, "venv", "--python", sys.executable, "clean")
    python = str(tmp_path / "clean" / "bin" / "python")
    run(uv, "pip", "install", "--python", python, "--constraints", "here.txt", str(wheel))
    run(str(tmp_path / "clean" / "bin" / "vae-lab"), "sweep", "smoke", "logger=none")
    provenance = [result(path)["provenance"] for path in (tmp_path / "outputs" / "runs").iterdir()]
    assert provenance
    assert all(one["git_commit"] is None for one in provenance)  # they ran from the wheel, not from the clone
    assert list(tmp_path.glob("outputs/sweeps/smoke/*.png"))


@pytest.mark.slow
def test_kingma2014_on_mnist(vae_lab, tmp_path, real_data):
    """Figure 2 of Kingma & Welling (2014): -124.3 nats on the test set after a million samples."""
    process = vae_lab(
        *["train", "dataset=mnist", "model=kingma2014", "model.latent_dim=20"],
        *["optimizer=adagrad", "optimizer.lr=0.02", "trainer.max_samples=1e6"],
        *["trainer.evaluate_at=end", "evaluation.importance_samples=10", "logger=none", "hydra.run.dir=run"],
        timeout=900,
    )
    assert process.returncode == 0, process.stderr
    assert result(tmp_path / "run")["metrics"]["test/elbo"] == pytest.approx(-124, abs=8)
