"""The processes that a command starts, and what they make of their surroundings."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import environment
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from vae_lab.orchestration import warm
from vae_lab.orchestration.axes import literal

SERVER = """
import time
from multiprocessing.forkserver import _forkserver
from vae_lab.orchestration import warm
warm.start(1)
print(_forkserver._forkserver_pid, flush=True)
time.sleep(60)
"""

CHECK = """
import multiprocessing, os, signal, sys, types
from vae_lab.errors import UserError
from vae_lab.orchestration import warm
warm._context = multiprocessing.get_context("fork")
warm._run_server = lambda: None
tries = "tries"
def check(cfg):
    with open(tries, "a") as file:
        file.write("x")
    if os.stat(tries).st_size <= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.modules["vae_lab.commands.mortal"] = types.SimpleNamespace(check=check)
try:
    print(warm.first_mistake("mortal", [([], "a: 1")]))
except UserError as error:
    print(error)
"""


def python(code, *arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_the_server_of_a_sweep_that_is_killed_during_its_imports_ends_with_it(tmp_path):
    sweep = python(SERVER, cwd=tmp_path)
    server = int(sweep.stdout.readline())
    assert is_alive(server)
    sweep.kill()
    sweep.communicate()
    until = time.monotonic() + 2  # the imports take longer
    while is_alive(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(server)


@pytest.mark.parametrize(("kills", "said"), [("1", "None"), ("2", "was killed twice (out of memory?)")])
def test_a_check_that_is_killed_is_done_again_and_once_more_is_said(tmp_path, kills, said):
    stdout, _ = python(CHECK, kills, cwd=tmp_path).communicate(timeout=60)
    assert said in stdout
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.parametrize("name", ["t" * 60, "t" * 100, "é" * 50])
def test_a_long_temporary_folder_is_no_place_for_a_socket(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    with warm._short_temporary_folder():
        assert len(os.fsencode(tempfile.mktemp(prefix="pymp-12345678/listener-"))) < 100
    assert tempfile.tempdir == str(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "(a), b=c~d",
        "it's",
        'say "x"',
        "a\\b",
        "a\\'b",
        "end\\",
        "${x}",
        "\\${x}",
        "$a#b{c}",
        "ü\t😀%20",
    ],
)
def test_any_text_goes_through_hydra_as_it_is(text):
    for value in (text, [text]):
        override = OverridesParser.create().parse_override(f"key={literal(value)}")
        config = OmegaConf.create({"key": override.value()})
        assert OmegaConf.to_container(config, resolve=True)["key"] == value


@pytest.mark.parametrize(
    "word",
    [
        "hydra.output_subdir=null",
        "hydra.output_subdir=x",
        "hydra/job_logging=disabled",
        "hydra/hydra_logging=none",
        "hydra.job_logging.root=null",
        "hydra.job.chdir=true",
        "+hydra.callbacks.mine._target_=x.Y",
        "hydra.sweep.dir=elsewhere",
        "~hydra.run",
        "hydra.lancher.slots=2",
    ],
)
def test_what_a_run_relies_on_is_not_to_be_set(here, tmp_path, word):
    ended = here("train", word, "logger=none")
    key = word.lstrip("+~").partition("=")[0]
    assert ended.stderr.startswith(f"vae-lab train: {key} is not to be set")
    assert "There are: hydra/launcher, hydra/sweeper, hydra.launcher, " in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_as_it_is_or_free_may_be_said(here):
    words = ["hydra.job.chdir=false", "hydra/job_logging=default", "hydra.verbose=true"]
    assert "model=none is not an option" in here("train", *words, "model=none").stderr
