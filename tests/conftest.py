"""Fixtures that tests share: the data folder, a small model, and the command line as a user types it."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from vae_lab.cli.main import main
from vae_lab.config import schema
from vae_lab.files.paths import CONF
from vae_lab.runs import signature
from vae_lab.training.build import build_run
from vae_lab.training.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("VAE_LAB_DATA", REPOSITORY.parent / "shared" / "data")).resolve()

FAST = ["logger=none", "trainer.max_epochs=1", "evaluation.importance_samples=2", "trainer.evaluate_at=end"]

torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """The files that run the command line most often come first: whole files go to a worker."""
    weight = Counter(item.path for item in items if {"vae_lab", "cluster"} & set(item.fixturenames))
    items.sort(key=lambda item: -weight[item.path])


@pytest.fixture(scope="session", autouse=True)
def settings(tmp_path_factory):
    """A folder for the settings of the user, whose own are neither read nor written."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("settings"))


@pytest.fixture(autouse=True)
def no_log_of_another_test():
    """Closes the handler with which Hydra has logged into the folder of a test before, which is gone."""
    for handler in [each for each in logging.root.handlers if type(each) is logging.FileHandler]:
        logging.root.removeHandler(handler)
        handler.close()


@pytest.fixture
def real_data(monkeypatch):
    """The folder with the real data sets."""
    if not (DATA / "MNIST").is_dir():
        pytest.skip(f"needs the real data sets: VAE_LAB_DATA names no folder with them ({DATA})")
    monkeypatch.setenv("VAE_LAB_DATA", str(DATA))
    return DATA


@pytest.fixture(scope="session")
def zygote():
    """A process that has imported what command lines need, and runs them in children: see zygote.py."""
    command = [sys.executable, str(REPOSITORY / "tests" / "zygote.py")]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="session")
def command_line(zygote, tmp_path_factory):
    """Runs `vae-lab` in a folder, as a user would; gives the finished process."""
    streams = tmp_path_factory.mktemp("streams")

    def run(*arguments, cwd, env=None, timeout=300, module="vae_lab"):
        paths = {name: streams / name for name in ("stdout", "stderr")}
        for path in paths.values():
            path.write_text("")
        request = {"arguments": arguments, "cwd": str(cwd), "env": environment() | (env or {})}
        request |= {"module": module, "timeout": timeout} | {name: str(path) for name, path in paths.items()}
        print(json.dumps(request), file=zygote.stdin, flush=True)
        status = int(zygote.stdout.readline())
        if status == -signal.SIGALRM:
            raise subprocess.TimeoutExpired(arguments, timeout)
        return subprocess.CompletedProcess(arguments, status, *(path.read_text() for path in paths.values()))

    return run


@pytest.fixture
def vae_lab(command_line, tmp_path):
    """Runs `vae-lab` in a folder of the test's own, as a user would; gives the finished process."""
    return partial(command_line, cwd=tmp_path)


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Runs `vae-lab` in a folder of the test's own and in this process, for what ends in a message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vae_lab.config.explain.WANTS_TRACEBACK", False)

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        stdout, stderr = capsys.readouterr()
        assert isinstance(end.value.code, str), "an error must not end in exit status 0"
        return subprocess.CompletedProcess(arguments, 1, stdout, f"{stderr}{end.value.code}\n")

    return run


def composed(*overrides, command="train", **settings):
    """The configuration that a command line makes, with further settings of Hydra's `compose`."""
    schema.register_schemas()
    signature.register_signature()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, list(overrides), **settings)


def built(*overrides):
    """The parts of a run that a command line makes."""
    return build_run(Settings.of(composed(*overrides)), Path("checkpoints"))


def environment():
    """The user's environment with one thread and without an account at the tracker."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return kept | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def exact_log_likelihood(vae, batch):
    """log p(x) of a linear-Gaussian VAE, `(B,)`."""
    weight, bias = vae.decoder.layers[0].weight, vae.decoder.layers[0].bias
    variance = (2 * vae.likelihood.log_scale).exp().double()
    covariance = weight @ weight.T + variance * torch.eye(len(bias), dtype=torch.float64)
    return torch.distributions.MultivariateNormal(bias, covariance).log_prob(batch.x)


def posterior(vae, batch):
    """The exact posterior of a linear-Gaussian VAE: mean `(B, D)` and covariance `(D, D)`."""
    weight, bias = vae.decoder.layers[0].weight, vae.decoder.layers[0].bias
    variance = (2 * vae.likelihood.log_scale).exp().double()
    precision = torch.eye(vae.latent_dim, dtype=torch.float64) + weight.T @ weight / variance
    covariance = torch.linalg.inv(precision)
    return (batch.x - bias) @ weight @ covariance / variance, covariance


def started(tmp_path, *arguments):
    """The command line, going on by itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "vae_lab", *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PACED = '''"""Training at a pace that no machine exceeds."""

import time

import pytorch_lightning as pl


class Paced(pl.Callback):
    """Waits at the end of every step.

    Args:
        seconds: Duration of a wait.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_train_batch_end(self, *_) -> None:
        """Waits."""
        time.sleep(self.seconds)
'''


def paced(tmp_path, seconds):
    """The words of a command in `tmp_path` whose training of the digits takes so long at least, anywhere.

    A step waits a twentieth of a second, which is long beside what it takes by itself.
    """
    plugin = tmp_path / "plugin"
    plugin.mkdir(exist_ok=True)
    (plugin / "conf").mkdir(exist_ok=True)
    (plugin / "paced.py").write_text(PACED)
    (tmp_path / "vae_lab.toml").write_text('plugins = ["plugin"]\n')
    pace = ["+callbacks.pace._target_=paced.Paced", "+callbacks.pace.seconds=0.05"]
    return [*pace, f"trainer.max_samples={seconds * 20 * 100}"]


def of_sweep(tmp_path):
    """The folder of the only sweep."""
    (path,) = (tmp_path / "outputs" / "sweeps").iterdir()
    return path


def results(tmp_path):
    """When each run of a folder was finished, by its signature."""
    return {
        path.parent.name: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/runs/*/metrics.json")
    }


def result(directory):
    """The `metrics.json` of a run or a measurement."""
    return json.loads((directory / "metrics.json").read_text())


def only(folder):
    """The one thing in a folder."""
    (path,) = folder.iterdir()
    return path


def records(file):
    """All records of an offline W&B run."""
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def history(file):
    """The history records of an offline W&B run."""
    return [record["history"]["item"] for record in records(file) if record["type"] == "history"]
