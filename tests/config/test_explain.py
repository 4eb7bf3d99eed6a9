"""Every row of the table of errors is for an error that a user, a library or the system does raise."""

import errno
import mmap
import os
import resource
import tempfile
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from vae_lab.config import explain as explaining
from vae_lab.config import unknown_key
from vae_lab.config.explain import ROWS, explain, row_of

COMMAND_LINES = {  # by row: what is typed after `vae-lab train`, and what is said of it
    "mistake": [("model.latent_dim=0", "model.latent_dim must be at least 1, got 0.")],
    "long name": [(f"hydra.run.dir={'a' * 300}", "is too long for the name of a file; choose a shorter")],
    "not writable": [("output_dir=/proc/nowhere", "cannot write /proc/nowhere (No such file or directory)")],
    "configuration": [("--config-name nope", "--config-name=nope is no configuration; leave it out.")],
    "option": [("model=cnv", "model=cnv is not an option; did you mean conv? There are: autoregressive,")],
    "malformed": [("seed =1", "cannot be read: a key, = and a value are one word; write seed=1.")],
    "refused key": [
        ("sed=3", "sed does not exist; did you mean seed?"),
        ("model={latnt_dim:3}", "model.latnt_dim does not exist; did you mean latent_dim?"),
        ("model/encodr=mlp", "model/encodr is not a group of options; did you mean model/encoder?"),
    ],
    "several values": [("model.latent_dim=2,8", "add -m to run each, or write model.latent_dim=[2,8] for a")],
    "deleted key": [("~sed", "sed does not exist; did you mean seed?")],
    "key of a file": [
        ("--config-dir=. experiment=root", "sed does not exist; did you mean seed?"),
        ("--config-dir=. experiment=sweep", "sweep.nam does not exist; did you mean name?"),
    ],
    "absent key": [("model=ppca ~trainer.devices", "trainer.devices must be given.")],
    "missing value": [("seed=???", "seed must be given."), ("hydra.run.dir=???", "run.dir must be given.")],
    "wrong type": [("seed=abc", "seed has the wrong type: Value 'abc' of type 'str' could not be conv")],
    "value": [
        ("seed=${foo}", "seed: Interpolation key 'foo' not found"),
        ("output_dir=${oc.env:NOPE}", "output_dir: KeyError raised while resolving interpolation:"),
    ],
    "other": [
        ("--config-dir=nope", "nope' not found"),
        ("+model@model=conv", "Multiple values for model. To override a value use 'override model: conv'"),
        ("--cfg=job --resolve seed=${foo}", "Interpolation key 'foo' not found"),
    ],
    "error in Hydra": [("model=null", "Config group override must be a string or a list. Got NoneType")],
    "error in OmegaConf": [
        ("model.encoder.hidden.x=3", "model.encoder.hidden.x does not exist: model.encoder.hidden is given")
    ],
}  # fmt: skip

FILES = {"root": "sed: 3", "sweep": "sweep: {nam: 3}"}


@contextmanager
def limited(kind, number):
    """The process with a limit of the system lowered."""
    usual = resource.getrlimit(kind)
    resource.setrlimit(kind, (number, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, usual)


def write_to_a_full_disk():
    with open("/dev/full", "w") as file:
        file.write("x" * 100_000)


def open_one_file_more():
    with open(os.devnull) as file, limited(resource.RLIMIT_NOFILE, file.fileno() + 1):
        os.dup(file.fileno())


def look_for_a_temporary_folder():
    with limited(resource.RLIMIT_FSIZE, 0):
        tempfile._get_default_tempdir()


SYSTEM = {  # by row: what raises, and what is said of it
    "full disk": [(write_to_a_full_disk, "the disk is full. Make space and give the same command again")],
    "too large": [
        (lambda: torch.empty(2**50), "the memory does not suffice: 4,503,599.6 GB are asked for at once;"),
        (lambda: np.empty(2**57), "the memory does not suffice: 1,152,921,504.6 GB are asked for at once;"),
        (lambda: torch.empty(2**62), "the memory does not suffice; make model, batch or data smaller."),
        (lambda: torch.empty(2**64), "the memory does not suffice; make model, batch or data smaller."),
        (lambda: np.int64(2**64), "the memory does not suffice; make model, batch or data smaller."),
        (lambda: bytearray(2**62), "the memory does not suffice; make model, batch or data smaller."),
    ],
    "open files": [(open_one_file_more, "no more files can be opened; raise the limit, as by ulimit -n")],
    "processes": [
        (lambda: mmap.mmap(-1, 2**62), "the machine gives no further process or memory (Cannot allocate mem")
    ],
    "temporary files": [(look_for_a_temporary_folder, "no folder for temporary files can be written to")],
}  # fmt: skip


def cases(table):
    return [pytest.param(row, *case, id=f"{row}-{n}") for row in table for n, case in enumerate(table[row])]


@pytest.fixture
def rows_used(monkeypatch):
    """The names of the rows that have been taken for errors."""
    used = []

    def remembering(error):
        name, found = row_of(error)
        used.append(name)
        return name, found

    monkeypatch.setattr(explaining, "row_of", remembering)
    return used


@pytest.mark.parametrize(("row", "words", "message"), cases(COMMAND_LINES))
def test_command_lines(row, words, message, here, tmp_path, rows_used):
    (tmp_path / "experiment").mkdir()
    for name, text in FILES.items():
        (tmp_path / "experiment" / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    arguments = [words] if row == "malformed" else words.split(" ")
    assert message in here("train", *arguments, "logger=none").stderr
    assert set(rows_used) == {row}


@pytest.mark.parametrize(("row", "raises", "message"), cases(SYSTEM))
def test_what_the_machine_lacks(row, raises, message):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the row tells which
        raises()
    assert row_of(raised.value)[0] == row
    assert message in explain(raised.value, "train")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_memory_of_a_gpu():
    with pytest.raises(torch.cuda.OutOfMemoryError) as raised:
        torch.empty(2**45, device="cuda")
    assert "suffice: 140,737.5 GB are asked for at once" in explain(raised.value, "train")


def test_every_row_is_for_an_error_above():
    assert sorted(ROWS) == sorted([*COMMAND_LINES, *SYSTEM])


def test_a_full_disk_has_an_exit_status_of_its_own(capsys):
    with pytest.raises(OSError, match="No space") as raised:
        write_to_a_full_disk()
    assert raised.value.errno == errno.ENOSPC
    with pytest.raises(SystemExit) as end:
        explaining.exit_if_explained(raised.value, "train")
    assert end.value.code == 74
    assert capsys.readouterr().err.startswith("vae-lab train: the disk is full.")


@pytest.mark.parametrize(
    "raises", [lambda: 1 / 0, lambda: {}["a"], lambda: int("a"), lambda: os.close(12345)], ids=range(4)
)
def test_a_defect_has_no_message(raises):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any
        raises()
    assert explain(raised.value, "train") is None


REASONS = {  # by reason: what is typed, and what is said of it
    "_of_hydra": ["train hydra.job.env_set={A:1}", "hydra.job.env_set.A does not exist; +hydra.job.env_set"],
    "_with_package": ["train model@x=mlp", "model@x does not exist; did you mean model?"],
    "_of_other_options": ["train model/network=mlp", "model/network is not a part of this model or command,"],
    "_no_group": ["train model/encodr=mlp", "model/encodr is not a group of options; did you mean model/enc"],
    "_below_value": ["train trainer.max_samples.x=3", "does not exist: trainer.max_samples is given"],
    "_of_training": ["train model=ppca optimizer.lr=1", "optimizer.lr must be left out for a model that f"],
    "_below_nothing": ["gradients callbacks.a.x=1", "callbacks.a does not exist: callbacks is empty."],
    "_no_argument_of_chosen": [
        "train estimator._target_=own.Mine estimator.scale=2", "no argument of the option that is chosen; w"
    ],
    "_misspelt": ["train estimator.K=5", "estimator.K does not exist; did you mean estimator.num_samples?"],
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_reasons_for_which_a_key_does_not_exist(reason, here, monkeypatch):
    given = []

    def remembering(function):
        def inner(key):
            if (message := function(key)) is not None:
                given.append(function.__name__)
            return message

        return inner

    monkeypatch.setattr(unknown_key, "REASONS", tuple(map(remembering, unknown_key.REASONS)))
    words, message = REASONS[reason]
    stderr = here(*words.split(" ")).stderr
    assert set(given) == {reason}
    assert message in stderr


def test_every_reason_is_for_a_key_above():
    assert [reason.__name__ for reason in unknown_key.REASONS] == list(REASONS)
