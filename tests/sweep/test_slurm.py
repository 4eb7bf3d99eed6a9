"""Sweeps on SLURM: on a real one of two nodes where it runs, and with a faked `sbatch` everywhere."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from conftest import FAST, of_sweep, paced, results, started
from test_plugins import TOML, plugin

SLURM = ["train", "-m", *FAST, "hydra/launcher=slurm", "hydra.launcher.memory=2GB"]
LONG = ["trainer.max_epochs=100000", "trainer.checkpoint_seconds=1"]


@pytest.fixture
def cluster():
    """A SLURM whose nodes answer; required where VAE_LAB_REQUIRE_SLURM says so."""
    try:
        nodes = ask("sinfo", "--noheader", "--Node", "--format=%t").split()
    except (OSError, subprocess.SubprocessError):
        nodes = []
    if "idle" not in nodes:
        text = "needs SLURM with an idle node: tests/slurm/cluster.sh start"
        pytest.fail(text) if os.environ.get("VAE_LAB_REQUIRE_SLURM") else pytest.skip(text)
    yield
    subprocess.run(["scancel", "--me"], check=False)
    until(lambda: not ask("squeue", "--noheader", "--me"))


def ask(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


def job_number(text):
    return re.search(r"with SLURM, as job (\d+)", text)[1]


def saved(tmp_path):
    return list(tmp_path.glob("outputs/runs/*/checkpoints/last.ckpt"))


@pytest.mark.slow
def test_an_array_returns_at_once_and_is_collected_later(cluster, vae_lab, tmp_path):
    command = [*SLURM, *paced(tmp_path, seconds=15), "model.latent_dim=2,3", "seed=0,1"]
    process = vae_lab(*command)
    assert process.returncode == 0, process.stderr
    number = job_number(process.stdout)
    assert "4 runs are with SLURM" in process.stdout
    folder = of_sweep(tmp_path)
    assert re.search(r"\d (queued|starting|running|done)", vae_lab("status", str(folder)).stdout)
    again = vae_lab(*command)  # what is in the queue is not submitted again
    assert job_number(again.stdout) == number
    until(lambda: len(results(tmp_path)) == 4)
    assert ": 4 done" in vae_lab("status", str(folder)).stdout
    assert vae_lab("figures", str(folder)).returncode == 0
    assert pl.read_csv(folder / "table.csv")["repeats"].to_list() == [2, 2]
    on_cluster = (folder / "table.csv").read_bytes()
    local = [word for word in command if not word.startswith("hydra")]
    here = vae_lab(*local, "output_dir=here")
    assert here.returncode == 0, here.stderr
    (table,) = tmp_path.glob("here/sweeps/*/table.csv")
    assert table.read_bytes() == on_cluster


@pytest.mark.slow
def test_one_that_fails_and_one_that_is_cancelled(cluster, tmp_path):
    command = [*SLURM, "optimizer=sgd", "hydra.launcher.wait=true", *LONG, "optimizer.lr=1e30,1e-3"]
    process = started(tmp_path, *command)
    until(lambda: saved(tmp_path) and list(tmp_path.glob("outputs/runs/*/failure.json")))
    for line in ask("squeue", "--noheader", "--array", "--me", "--format=%i").split():
        subprocess.run(["scancel", line], check=True)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 1, stdout
    assert "0 done, 2 failed" in stderr
    assert "lr=1e+30: training stopped at step" in stderr
    assert re.search(r"lr=0.001: SLURM job \d+_1: CANCELLED", stderr)
    assert ask("sacct", "--noheader", "--allocations", "--format=State", "--jobs", job_number(stdout)).split()


@pytest.mark.slow
def test_a_job_that_reaches_its_limit_is_queued_again_and_continues(cluster, vae_lab, tmp_path):
    process = started(
        tmp_path,
        *[*SLURM, "hydra.launcher.wait=true", "hydra.launcher.minutes=2", "hydra.launcher.signal_seconds=70"],
        *[*paced(tmp_path, seconds=75), "trainer.checkpoint_seconds=1", "model.latent_dim=2"],
    )
    stdout, stderr = process.communicate(timeout=500)
    assert process.returncode == 0, stderr
    (log,) = tmp_path.glob("outputs/runs/*/output.log")
    assert "continuing at" in log.read_text()
    (submitit,) = (of_sweep(tmp_path) / "submitit").glob("*_log.out")
    assert "this job is timed-out" in submitit.read_text()
    metrics = pl.read_csv(next(tmp_path.glob("outputs/runs/*/metrics.csv")))
    steps = metrics["step"].to_list()
    assert steps == sorted(steps)
    assert job_number(stdout)


def started_and_saved(tmp_path):
    """A sweep of one run that is waited for, once its first checkpoint is there."""
    long = [*paced(tmp_path, seconds=20), "trainer.checkpoint_seconds=0.5", "model.latent_dim=2"]
    process = started(tmp_path, *SLURM, "hydra.launcher.wait=true", *long)
    until(lambda: saved(tmp_path))
    return process


@pytest.mark.slow
def test_a_node_that_is_lost_and_comes_back(cluster, tmp_path):
    process = started_and_saved(tmp_path)
    (node,) = set(ask("squeue", "--noheader", "--me", "--format=%N").split())
    ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        (other,) = {"n1", "n2"} - {node}
        until(lambda: "RUNNING" in ask("squeue", "--noheader", "--me", f"--nodelist={other}", "--format=%T"))
    finally:
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], check=False)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    (log,) = tmp_path.glob("outputs/runs/*/output.log")
    assert "continuing at" in log.read_text()


@pytest.mark.slow
def test_a_job_that_is_preempted_is_queued_again_and_continues(cluster, tmp_path):
    process = started_and_saved(tmp_path)
    both = ["--partition=urgent", "--nodes=2", "--ntasks-per-node=2", "--exclusive"]
    assert ask("srun", *both, "hostname").split()  # two whole nodes for something more important
    stdout, stderr = process.communicate(timeout=400)
    assert process.returncode == 0, stderr
    (log,) = tmp_path.glob("outputs/runs/*/output.log")
    assert "continuing at" in log.read_text()
    states = ask(
        "sacct", "--noheader", "--duplicates", "--allocations", "--format=State", "--jobs", job_number(stdout)
    )
    assert "PREEMPTED" in states


@pytest.mark.slow
def test_data_parallel_across_the_tasks_of_a_job(cluster, vae_lab, tmp_path):
    process = vae_lab(
        *[*SLURM, "hydra.launcher.wait=true", "trainer=ddp", "trainer.accelerator=cpu", "model.latent_dim=2"]
    )
    assert process.returncode == 0, process.stderr
    assert len(results(tmp_path)) == 1
    (log,) = tmp_path.glob("outputs/runs/*/output.log")
    assert log.read_text().count("test ELBO") == 1


@pytest.fixture
def faked(tmp_path):
    """A PATH whose `sbatch` keeps the script it gets."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {
        "sbatch": f'cp "$1" {tmp_path}/script.sh\necho "Submitted batch job 7"',
        "srun": "exit 0",
        "squeue": "exit 0",
        "sacct": "exit 1",
    }
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_what_sbatch_is_told(vae_lab, tmp_path, faked):
    process = vae_lab(
        *[*SLURM, "seed=0,1,2", "hydra.launcher.partition=long", "hydra.launcher.minutes=90"],
        *["hydra.launcher.array_parallelism=2", "hydra.launcher.setup=[module load cuda]"],
        *["hydra.launcher.threads=3", "hydra.launcher.additional_parameters={account: mine}"],
        env=faked,
    )
    assert process.returncode == 0, process.stderr
    script = Path(tmp_path / "script.sh").read_text()
    for line in (
        "#SBATCH --array=0-2%2", "#SBATCH --partition=long", "#SBATCH --time=90", "#SBATCH --mem=2GB",
        "#SBATCH --nodes=1", "#SBATCH --ntasks-per-node=1", "#SBATCH --cpus-per-task=3", "#SBATCH --requeue",
        "#SBATCH --account=mine", "#SBATCH --signal=USR2@60", "module load cuda", "export OMP_NUM_THREADS=3",
    ):  # fmt: skip
        assert line in script, script
    assert "gpus" not in script
    assert len(list(tmp_path.glob("outputs/runs/*/.hydra/config.yaml"))) == 3


def test_a_refusal_of_slurm_is_one_message(vae_lab, tmp_path, faked):
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: lng' >&2\nexit 1\n")
    process = vae_lab(*SLURM, "seed=0,1", "hydra.launcher.partition=lng", env=faked)
    assert process.returncode == 1
    assert process.stderr.startswith("vae-lab train: SLURM refused the jobs: ")
    assert "invalid partition specified: lng" in process.stderr
    assert "Traceback" not in process.stderr


def test_without_accounting_the_files_tell(vae_lab, tmp_path, faked):
    """A job that left the queue without a trace is reported by what lies in its directory."""
    process = vae_lab(*SLURM, "seed=0,1", "hydra.launcher.wait=true", env=faked)
    assert process.returncode == 1
    assert "0 done, 2 failed" in process.stderr


def test_without_slurm_it_says_so(vae_lab, tmp_path):
    where = Path(os.sys.executable).parent
    process = vae_lab(*SLURM, "seed=0,1", env={"PATH": str(where)})
    assert process.returncode == 1
    assert "hydra/launcher=slurm: there is no srun and sbatch here" in process.stderr
    assert not list(tmp_path.iterdir())


def test_a_queue_that_does_not_answer_submits_nothing_twice(vae_lab, tmp_path, faked):
    command = [*SLURM, "seed=0,1"]
    assert vae_lab(*command, env=faked).returncode == 0
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "script.sh").unlink()
    process = vae_lab(*command, env=faked)
    assert process.returncode == 1
    assert "squeue does not answer" in process.stderr
    assert not (tmp_path / "script.sh").exists()
    status = vae_lab("status", str(of_sweep(tmp_path)), env=faked).stdout
    assert "2 unknown" in status


@pytest.mark.slow
def test_jobs_find_a_plugin(cluster, vae_lab, tmp_path):
    plugin(tmp_path / "mine")
    (tmp_path / "vae_lab.toml").write_text(TOML)
    process = vae_lab("sweep", "scales", *SLURM[2:], "hydra.launcher.wait=true", "seed=0", timeout=200)
    assert process.returncode == 0, process.stdout + process.stderr
    made = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/runs/*/metrics.json")]
    assert [each["estimator"] for each in made] == ["Scaled", "Scaled"]
