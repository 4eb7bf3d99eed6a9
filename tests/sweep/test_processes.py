"""The processes that a command starts, and what they make of their surroundings."""

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from conftest import environment
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_plugins.vae_lab_plugins.processes import ProcessesLauncher
from vae_lab.cli import surroundings
from vae_lab.config.overrides import literal
from vae_lab.errors import UserError
from vae_lab.files import writing
from vae_lab.sweep.launchers import forkserver
from vae_lab.tracking import wandb
from vae_lab.tracking.wandb import WandbFactory

SERVER = """
import time
from multiprocessing.forkserver import _forkserver
from vae_lab.errors import UserError
from vae_lab.config.explain import explain
from vae_lab.sweep.launchers import forkserver
forkserver.start_imports(1)
print(_forkserver._forkserver_pid, flush=True)
time.sleep(60)
"""

CHECK = """
import multiprocessing, os, signal, sys, types
from vae_lab.errors import UserError
from vae_lab.errors import UserError
from vae_lab.config.explain import explain
from vae_lab.cli import commands
from vae_lab.sweep.launchers import forkserver
forkserver._context = multiprocessing.get_context("fork")
forkserver._run_server = lambda: None
tries = "tries"
def check(cfg):
    with open(tries, "a") as file:
        file.write("x")
    if os.stat(tries).st_size <= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.modules["vae_lab.training.run"] = types.SimpleNamespace(quieten_libraries=lambda: None)  # imports torch
commands.check_of = lambda name: check
try:
    print(forkserver.first_mistake("mortal", [([], "a: 1")]))
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
    with forkserver._short_temporary_folder():
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
        "hydra=5",
    ],
)
def test_what_a_run_relies_on_is_not_to_be_set(here, tmp_path, word):
    ended = here("train", word, "logger=none")
    key = word.lstrip("+~").partition("=")[0]
    assert ended.stderr.startswith(f"vae-lab train: {key} is not to be set")
    assert "There are: hydra.job.env_copy, hydra.job.env_set, hydra.job_logging." in ended.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", ["hydra.launcher=5", "hydra.sweeper=null", "hydra.verbose=null"])
def test_what_has_no_sense_is_not_to_be_set(here, word):
    assert here("train", word).stderr.startswith(f"vae-lab train: {word} is not to be set")


@pytest.mark.parametrize("text", ["%(nope)s", "none", "%("])
def test_a_log_has_a_format_of_pythons(here, tmp_path, text):
    key = "hydra.job_logging.formatters.simple.format"
    ended = here("train", f"{key}='{text}'", "logger=none")
    assert ended.stderr == f"vae-lab train: {key} must be a format of Python's logging, got {text!r}.\n"
    assert list(tmp_path.iterdir()) == []


def test_threads_that_no_machine_has_are_refused():
    with pytest.raises(UserError, match="threads must be at most 1024, got 9999"):
        ProcessesLauncher(threads=9999).setup(hydra_context=None, task_function=None, config=None)


def test_what_is_as_it_is_or_free_may_be_said(here):
    words = ["hydra.job.chdir=false", "hydra/job_logging=default", "hydra.verbose=true"]
    assert "model=none is not an option" in here("train", *words, "model=none").stderr
    assert "hydra/mine is not the directory of a sweep" in here("status", "hydra/mine").stderr


PRINTS = """
import sys
from vae_lab.cli import surroundings
surroundings.make_usable()
for _ in range(3000):
    print("a line, é, 😀")
    print("another", file=sys.stderr)
open("end", "w").write(str(surroundings.what_was_not_printed()))
"""


@pytest.mark.parametrize(
    ("redirection", "variables", "lost"),
    [
        ("", {}, "None"),
        ("| head -1", {}, "None"),
        ("2>&1 | head -1", {}, "None"),
        (">/dev/full", {}, "not all was printed (No space left on device); the results are in their files."),
        ("2>/dev/full", {}, "not all was printed (No space left on device); the results are in their files."),
        (">&- 2>&- <&-", {}, "None"),
        ("", {"PYTHONIOENCODING": "ascii"}, "None"),
        ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "None"),
    ],
)
def test_what_reads_the_output_ends_nothing(tmp_path, redirection, variables, lost):
    (tmp_path / "prints.py").write_text(PRINTS)
    command = f"{sys.executable} prints.py {redirection}"
    done = subprocess.run(
        command, cwd=tmp_path, env=environment() | variables, shell=True, capture_output=True
    )
    assert (tmp_path / "end").read_text() == lost
    assert b"Traceback" not in done.stderr
    if not redirection:
        assert b"a line, " in done.stdout


def test_unbuffered_output_is_there_at_once(tmp_path):
    program = (
        "import sys; from vae_lab.cli.surroundings import make_usable; make_usable(); "
        "print('now'); sys.stdin.read()"
    )
    command = [sys.executable, "-u", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        is_there, _, _ = select.select([process.stdout], [], [], 30)
        process.stdin.close()
    assert is_there, "nothing is printed before the end"


@pytest.fixture
def surrounded(monkeypatch):
    """Calls `make_usable` with other variables in the environment; gives those that it leaves."""

    def call(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name, raising=False)
        surroundings.make_usable()
        return os.environ

    return call


def test_a_user_without_a_home_has_one_that_is_not_there(surrounded, monkeypatch):
    def getpwuid(_):
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.setattr("pwd.getpwuid", getpwuid)
    assert surrounded(HOME=None)["HOME"] == "/nonexistent"
    assert surrounded(HOME="/somewhere")["HOME"] == "/somewhere"
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    data = Path(__file__)
    assert writing.content.__wrapped__(str(data)) == writing.checksum(data)  # with nowhere to keep it


@pytest.mark.parametrize(("columns", "left"), [("0", None), ("1", None), ("80", "80"), ("abc", "abc")])
def test_a_table_has_room(surrounded, columns, left):
    assert surrounded(COLUMNS=columns).get("COLUMNS") == left


def test_an_argument_that_is_no_text_is_one_sentence(here):
    assert here("status", "caf\udce9").stderr == (
        "vae-lab: 'caf\\udce9' is no text here; set LC_ALL=C.UTF-8, or rename the file.\n"
    )


def test_a_folder_that_is_gone_is_one_sentence(here, tmp_path):
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "the current folder is there no more; cd to one that is." in here("train").stderr
    os.chdir(tmp_path)


def test_the_tracker_s_trouble_is_said_and_ends_nothing(tmp_path, monkeypatch, caplog):
    class Broken:
        offline = True

        def fail(self, *_, **__):
            raise PermissionError("no place\nfor this")

        log = finish = fail
        summary = type("Summary", (), {"update": fail})()

    tracker = WandbFactory()
    monkeypatch.setattr(tracker, "_init", lambda _: Broken())
    (tmp_path / "figure.png").touch()
    tracker.log_measured(tmp_path, "evaluate", "0123", {"a": 1.0}, [])
    assert [record.message for record in caplog.records] == [
        f"W&B has not got the {what}: no place" for what in ("measurements", "figures", "end")
    ]


def test_w_and_b_keeps_its_files_where_it_may(tmp_path, monkeypatch):
    names = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR")
    for name in (*names, "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb._keep_files_in(tmp_path / "wandb")
    assert not set(names) & set(os.environ)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/no/place")
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).startswith("/proc"))
    wandb._keep_files_in(tmp_path / "wandb")
    assert {name: os.environ[name] for name in names if name in os.environ} == {
        "WANDB_CACHE_DIR": str(tmp_path / "wandb")
    }
    monkeypatch.delenv("WANDB_CACHE_DIR")
