"""`vae-lab evaluate`, as it is typed."""

import shutil

import polars as pl
import pytest
from conftest import history, only, records, result

QUICK = ["logger=none", "trainer.max_samples=2000", "trainer.progress=false"]
FEW = ["logger=none", "measures.importance_samples=[1,100]", "measures.gap=20"]


@pytest.fixture(scope="module")
def once(command_line, tmp_path_factory):
    """A folder with a sweep over latent sizes and seeds, made once."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["train", "-m", "sweep.name=sizes", "model.latent_dim=2,3", "seed=0,1", *QUICK]
    assert command_line(*words, cwd=folder).returncode == 0
    return folder


@pytest.fixture
def trained(once, tmp_path):
    """The same in a folder of the test's own."""
    shutil.copytree(once / "outputs", tmp_path / "outputs")
    return sorted((tmp_path / "outputs" / "runs").iterdir())


def test_a_run_by_its_signature_or_its_directory(vae_lab, trained, tmp_path):
    run = trained[0]
    process = vae_lab("evaluate", f"run={run.name}", *FEW)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    table = process.stdout.partition("note:")[0]
    assert max(map(len, table.splitlines())) <= 88
    directory = only(tmp_path / "outputs" / "evaluate")
    metrics = result(directory)["metrics"]
    own = result(run)["metrics"]
    assert metrics["test/log_likelihood"] == pytest.approx(own["test/log_likelihood"], rel=1e-6)  # K = 100
    assert metrics["test/L_1"] < metrics["test/log_likelihood"]
    of_one_sample = 10 * metrics["monte_carlo_error/elbo_analytic_kl"]  # the run itself draws 1, not 100
    assert metrics["test/elbo_analytic_kl"] == pytest.approx(own["test/elbo"], abs=4 * of_one_sample)
    assert metrics["test/active_units"] == own["test/active_units"]
    data = pl.read_parquet(directory / "data.parquet")
    assert len(data) == 360
    assert data["log_likelihood"].mean() == pytest.approx(metrics["test/log_likelihood"])
    assert data["log_likelihood"].std() / 360**0.5 == pytest.approx(metrics["standard_error/log_likelihood"])
    assert (directory / "kl_per_dimension.png").is_file()
    again = vae_lab("evaluate", f"run={run.name}", *FEW)
    assert "done already" in again.stdout
    assert again.stdout.splitlines()[1:] == process.stdout.splitlines()
    seed = f"seed={result(run)['config']['seed']}"
    other = vae_lab("evaluate", f"run={run}", *FEW, "measures.chunk_rows=64", seed)
    assert other.returncode == 0, other.stderr
    newest = max((tmp_path / "outputs" / "evaluate").iterdir(), key=lambda path: path.stat().st_mtime)
    for name, value in metrics.items():
        assert result(newest)["metrics"][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name


def test_all_runs_of_a_sweep(vae_lab, trained, tmp_path):
    process = vae_lab("evaluate", "runs=sizes", *FEW)
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "outputs" / "sweeps" / "sizes-evaluate"
    table = pl.read_csv(folder / "table.csv")
    assert table["latent_dim"].to_list() == [2, 3]
    assert table["repeats"].to_list() == [2, 2]
    assert {"test/log_likelihood", "test/L_1", "test/mutual_information"} <= set(table.columns)
    runs = pl.read_parquet(folder / "runs.parquet")
    assert runs["config.seed"].to_list() == [0, 1, 0, 1]
    assert (folder / "figure.png").is_file()
    status = vae_lab("status", "sizes-evaluate")
    assert "4 done" in status.stdout
    again = vae_lab("evaluate", "runs=sizes", *FEW)
    assert "running" not in again.stdout


def test_a_list_of_runs_and_what_is_done_of_a_sweep(vae_lab, trained, tmp_path):
    names = ",".join(run.name for run in trained[:2])
    process = vae_lab("evaluate", f"runs=[{names}]", *FEW, "split=validation")
    assert process.returncode == 0, process.stderr
    folder = only_new(tmp_path / "outputs" / "sweeps", "sizes")
    table = pl.read_parquet(folder / "runs.parquet")
    assert set(table["run"]) == {run.name for run in trained[:2]}
    assert "validation/log_likelihood" in (folder / "table.md").read_text()
    (trained[0] / "metrics.json").unlink()
    rest = vae_lab("evaluate", "runs=sizes", *FEW)
    assert rest.returncode == 0, rest.stderr
    assert "3 of the 4 runs of sizes are done" in rest.stdout


def only_new(folder, known):
    (path,) = (path for path in folder.iterdir() if path.name != known)
    return path


def test_annealing_on_the_command_line(vae_lab, trained):
    words = ["measures=annealed", "measures.annealed.num_temperatures=40", "measures.annealed_data=10"]
    process = vae_lab("evaluate", f"run={trained[0].name}", *FEW, *words)
    assert process.returncode == 0, process.stderr
    for name in ("log_likelihood_ais", "annealing_gain", "simulated_lower", "simulated_gap"):
        assert name in process.stdout


def test_another_checkpoint_is_measured_again(vae_lab, trained, tmp_path):
    run = trained[0]
    assert vae_lab("evaluate", f"run={run.name}", *FEW).returncode == 0
    shutil.copy(trained[1] / "checkpoints" / "last.ckpt", run / "checkpoints" / "last.ckpt")
    process = vae_lab("evaluate", f"run={run.name}", *FEW)
    assert process.returncode == 1
    assert "is not the checkpoint that was tested" in process.stderr


def test_mistakes_leave_nothing(here, vae_lab, trained, tmp_path):
    run = trained[0].name
    for words, message in [
        ([], "run must be given, the directory or the signature of a finished run; or runs=<a sweep>."),
        (["run=nowhere"], "run=nowhere is neither a run's directory nor a signature"),
        (["runs=nowhere"], "nowhere is not the directory of a sweep"),
        (["runs=a,b"], "runs takes the name of a sweep or a list: write runs=[...] with brackets."),
        (["run=59e074444826"], "run=59e074444826 is neither a run's directory nor a signature"),
        (["run=1e999"], "a signature that reads as a number needs quotes"),
        (["runs=[]"], "runs must name a sweep or hold runs, got []."),
        (
            [f"run={run}", "measures.importance_samples=[0]"],
            "measures.importance_samples must be at least 1, got 0.",
        ),
        (
            [f"run={run}", "measures.importance_samples=5"],
            "measures.importance_samples must be list of int, got 5.",
        ),
        ([f"run={run}", "split=train"], "split must be one of test, validation, got 'train'."),
        (
            [f"run={run}", "trainer.accelerator=gpu"],
            "trainer.accelerator=gpu: there is no GPU here; use cpu.",
        ),
        ([f"run={run}", "trainer.accelerator=tpu"], "trainer.accelerator must be cpu or gpu, got 'tpu'."),
        ([f"run={run}", "measures.gaps=3"], "measures.gaps does not exist; did you mean gap?"),
        ([f"run={run}", "model=conv"], "model does not exist"),
        (["runs=sizes", "measures.chunk_rows=0"], "measures.chunk_rows must be at least 1, got 0."),
    ]:
        several = any(word.startswith("runs=") for word in words)
        process = (vae_lab if several else here)("evaluate", "logger=none", *words)
        assert process.returncode == 1, words
        assert message in process.stderr, (words, process.stderr)
        assert len(process.stderr.strip().splitlines()) == 1, process.stderr
    assert not list((tmp_path / "outputs").glob("evaluate/*"))
    assert not (tmp_path / "outputs" / "sweeps" / "sizes-evaluate").exists()
    (trained[0] / "metrics.json").unlink()
    process = here("evaluate", f"run={run}")
    assert "is not the directory of a finished run" in process.stderr


def test_models_that_lack_something(vae_lab, tmp_path):
    words = [*QUICK, "model/encoder=none", "estimator=monte_carlo_em", "evaluation=marginal_likelihood"]
    assert vae_lab("train", *words, "model.latent_dim=2").returncode == 0
    run = only(tmp_path / "outputs" / "runs")
    process = vae_lab("evaluate", f"run={run}", "logger=none")
    assert process.returncode == 1
    assert "importance_samples leave nothing to measure, and this model has no q(z|x)" in process.stderr
    few = [
        "measures.annealed.num_temperatures=20",
        "measures.annealed_data=5",
        "measures.gap=0",
        "logger=none",
    ]
    process = vae_lab("evaluate", f"run={run}", "measures=annealed", *few)
    assert process.returncode == 0, process.stderr
    assert "log_likelihood_ais" in process.stdout
    assert "elbo" not in process.stdout
    shutil.rmtree(tmp_path / "outputs")
    both = ["-m", "sweep.name=both", "estimator=autoencoder,reparameterized"]
    assert vae_lab("train", *QUICK, *both).returncode == 0
    results = {path: result(path) for path in (tmp_path / "outputs" / "runs").iterdir()}
    (run,) = (path for path in results if results[path]["estimator"] == "Autoencoder")
    process = vae_lab("evaluate", f"run={run}", "logger=none")
    assert "is an autoencoder, which has no p(x, z) to measure." in process.stderr
    process = vae_lab("evaluate", "runs=both", *FEW)
    assert process.returncode == 0, process.stderr
    assert "note: 1 are autoencoders, which have no p(x), and are left out." in process.stdout


def test_the_run_at_the_tracker_gets_what_was_measured(vae_lab, trained, tmp_path):
    run = trained[0]
    process = vae_lab("evaluate", f"run={run.name}", *FEW[1:])
    assert process.returncode == 0, process.stderr
    (tracked,) = run.glob("wandb/offline-run-*/*.wandb")
    assert tracked.name == f"run-{run.name}.wandb"  # the id of the run
    metrics = result(only(tmp_path / "outputs" / "evaluate"))["metrics"]
    summary = {}
    for record in records(tracked):
        summary |= record.get("summary", {}).get("update", {})
    for name, value in metrics.items():
        assert float(summary[f"evaluate/{name}"]) == pytest.approx(value), name
    assert any("figures/kl_per_dimension.path" in record for record in history(tracked))
