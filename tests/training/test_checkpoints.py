"""Checkpoints are verified before they are used, and training options mean what they say."""

import inspect
import json
import random
import shutil

import pytest
import pytorch_lightning as pl
import torch
from conftest import composed
from omegaconf import OmegaConf

from vae_lab.applications.gradients.states import State, weights_at
from vae_lab.errors import UserError
from vae_lab.runs.directory import RunDirectory
from vae_lab.trained import load as loading
from vae_lab.training import TrainerFactory
from vae_lab.training.build import build_run
from vae_lab.training.checkpoint import CHECKSUM, load_checkpoint, with_checksum
from vae_lab.training.options import ALLOWED, REPLACEMENTS, check_options
from vae_lab.training.run import run
from vae_lab.training.settings import Settings

SMALL = [
    "logger=none",
    "model.latent_dim=2",
    "model.encoder.hidden=[4]",
    "model.decoder.hidden=[4]",
    "trainer.evaluate_at=end",
    "trainer.progress=false",
    "evaluation.importance_samples=null",
]


def directory_of(path, *overrides):
    cfg = composed(*SMALL, *overrides)
    return cfg, RunDirectory(path, cfg)


def trained(path, *overrides):
    cfg, directory = directory_of(path, *overrides)
    result = run(Settings.of(cfg), directory)
    return directory, json.loads(json.dumps(dict(result)))


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "short", "trainer.max_samples=300")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("others") / "other", "trainer.max_samples=300", "seed=1")


def unfinished_copy(of, path):
    shutil.copytree(of.path, path)
    (path / "metrics.json").unlink()
    return path


def test_a_checkpoint_names_its_run(short):
    directory, result = short
    origin = load_checkpoint(directory.last_checkpoint)["vae_lab"]["origin"]
    assert origin["signature"] == result["signature"]
    assert origin["family"] == directory.family


def test_a_flipped_bit_anywhere_is_found_or_harmless(short, tmp_path):
    content = short[0].last_checkpoint.read_bytes()
    whole = load_checkpoint(short[0].last_checkpoint)
    spot, random_bytes = tmp_path / "last.ckpt", random.Random(0)
    found = 0
    for _ in range(100):
        changed = bytearray(content)
        changed[random_bytes.randrange(len(content))] ^= 1 << random_bytes.randrange(8)
        spot.write_bytes(changed)
        try:
            read = load_checkpoint(spot)
        except ValueError:
            found += 1
        else:
            assert with_checksum(read)[CHECKSUM] == with_checksum(whole)[CHECKSUM]
    assert found > 50  # the rest lie in padding and in names of the archive, which nothing reads


@pytest.mark.parametrize("kind", ["exp_avg", "weight"])
def test_a_flipped_bit_in_a_tensor_is_found(short, tmp_path, kind):
    content = torch.load(short[0].last_checkpoint, weights_only=True)
    weight = next(iter(content["state_dict"].values()))
    tensor = content["optimizer_states"][0]["state"][0]["exp_avg"] if kind == "exp_avg" else weight
    tensor.view(torch.uint8).reshape(-1)[0] ^= 1
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="truncated or corrupt"):
        load_checkpoint(tmp_path / "last.ckpt")


def test_another_runs_checkpoint_is_refused(short, other, tmp_path):
    path = unfinished_copy(short[0], tmp_path / "run")
    shutil.copy(other[0].last_checkpoint, path / "checkpoints" / "last.ckpt")
    cfg, directory = directory_of(path, "trainer.max_samples=300")
    with pytest.raises(UserError, match=f"is of another run, {other[1]['signature']}. Delete it"):
        run(Settings.of(cfg), directory)


def test_gradients_are_measured_at_the_checkpoint_on_record_alone(short, tmp_path):
    shutil.copytree(short[0].path, tmp_path / "run")
    trained(tmp_path / "shorter", "trainer.max_samples=200")
    cfg, directory = directory_of(tmp_path / "run", "trainer.max_samples=300")
    parts = build_run(Settings.of(cfg), directory.checkpoints)
    state = State("last", directory.last_checkpoint)
    assert weights_at(state, directory, parts)[0] == 300
    shutil.copy(tmp_path / "shorter" / "checkpoints" / "last.ckpt", directory.last_checkpoint)
    with pytest.raises(UserError, match=r"last\.ckpt is not the checkpoint that was tested"):
        weights_at(state, directory, parts)


def test_a_longer_runs_checkpoint_is_refused(short, tmp_path):
    path = unfinished_copy(short[0], tmp_path / "run")
    cfg, directory = directory_of(path, "trainer.max_samples=200")
    with pytest.raises(UserError, match="is of a longer run: at step 3 of 2"):
        run(Settings.of(cfg), directory)


def test_a_checkpoint_without_checksum_is_continued_and_told(short, tmp_path):
    path = unfinished_copy(short[0], tmp_path / "run")
    content = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)
    del content[CHECKSUM], content["vae_lab"]["origin"]
    torch.save(content, path / "checkpoints" / "last.ckpt")
    result = trained(path, "trainer.max_samples=500")[1]
    assert "at step 3 from a checkpoint of an earlier version" in " ".join(result["notes"])
    assert result["metrics"]["samples"] == 500


def test_a_longer_run_goes_on_from_the_one_on_record_alone(short, tmp_path, capsys):
    shutil.copytree(short[0].path, tmp_path / "short")
    whole = trained(tmp_path / "longer", "trainer.max_samples=500")[1]
    assert capsys.readouterr().err == ""
    with (tmp_path / "short" / "checkpoints" / "last.ckpt").open("r+b") as file:
        file.seek(2000)
        file.write(b"x")
    anew = trained(tmp_path / "between", "trainer.max_samples=400")[1]
    assert "nothing is taken over" in capsys.readouterr().err
    assert (whole["metrics"]["samples"], anew["metrics"]["samples"]) == (500, 400)


def test_a_finished_runs_weights_are_verified_when_they_are_loaded(short, other, tmp_path):
    for name, change in {"flipped": b"x", "foreign": None}.items():
        path = shutil.copytree(short[0].path, tmp_path / name)
        checkpoint = path / "checkpoints" / "last.ckpt"
        if change is None:
            shutil.copy(other[0].last_checkpoint, checkpoint)
        else:
            checkpoint.write_bytes(checkpoint.read_bytes()[:-1000] + change + checkpoint.read_bytes()[-999:])
        with pytest.raises(UserError, match=r"truncated or corrupt|not the checkpoint that was tested"):
            loading.load_trained(path)


def test_every_argument_of_lightnings_trainer_is_allowed_or_has_something_in_its_stead():
    arguments = set(inspect.signature(pl.Trainer.__init__).parameters) - {"self"}
    assert arguments == {*ALLOWED, *REPLACEMENTS}
    assert not set(ALLOWED) & set(REPLACEMENTS)


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_an_argument_that_means_something_else_here_is_refused(name):
    with pytest.raises(ValueError, match=f"^options must not hold {name}; .*"):
        TrainerFactory(max_epochs=1, options={name: 1})


def test_what_is_named_in_its_stead_exists():
    cfg = composed()
    words = {word.strip(",.:").partition("=")[0] for text in REPLACEMENTS.values() for word in text.split()}
    keys = {word for word in words if word.startswith(("trainer.", "dataset."))}
    assert len(keys) > 8
    for key in keys:
        assert OmegaConf.select(cfg, key, default="nothing") != "nothing", key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_clip_val": 0}, "options.gradient_clip_val must be a number above 0, got 0."),
        ({"gradient_clip_val": True}, "options.gradient_clip_val must be a number above 0, got True."),
        ({"gradient_clip_val": 1, "gradient_clip_algorithm": "l1"}, "must be norm or value, got 'l1'."),
        ({"gradient_clip_algorithm": "norm"}, "needs options.gradient_clip_val"),
        ({"deterministic": 1}, "options.deterministic must be true or false or warn, got 1."),
        ({"detect_anomaly": "yes"}, "options.detect_anomaly must be true or false, got 'yes'."),
        ({"sync_batchnorm": True}, "options.sync_batchnorm has no effect on one process; leave it out"),
    ],
)
def test_values_of_options(options, message):
    with pytest.raises(ValueError, match="options") as caught:
        check_options(options, one_process=True)
    assert message in str(caught.value)


class Stopping(pl.Callback):
    """Ends a training after two steps, as early stopping may."""

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step >= 2


def test_a_training_that_ends_before_its_budget_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_LAB_TRUST", "test_checkpoints")
    result = trained(
        tmp_path / "run", "trainer.max_samples=500", "+callbacks.early._target_=test_checkpoints.Stopping"
    )[1]
    assert result["metrics"]["samples"] == 200
    assert "the training ended at 200 of 500 samples, before its budget" in result["notes"]
