"""Runs in one table: the options that they are of, the conditions that they fulfil, their types."""

import json
import subprocess
import sys

import polars as pl
import pytest
from conftest import composed

import vae_lab
from vae_lab.config.options import options_of
from vae_lab.errors import UserError
from vae_lab.files import ownership
from vae_lab.runs.choices import choices_of
from vae_lab.runs.conditions import ORDERS, condition, matching
from vae_lab.runs.record import records
from vae_lab.runs.signature import definition


def put(folder, signature, seed, elbo, **definition):
    """The result of a training, made up."""
    directory = folder / "runs" / signature
    ownership.claim_folder(directory, "train")
    settings = {"model.latent_dim": 8, "model.encoder.hidden": [128], "estimator.kl": "analytic"}
    settings |= {"estimator._target_": "IWAE", "trainer.alternate": False, "trainer.options": None}
    metrics = {"samples": 200, "test/elbo": elbo, "validation/elbo": elbo - 1}
    result = {
        "signature": signature,
        "metrics": metrics,
        "definition": settings | {"seed": seed} | definition,
    }
    (directory / "metrics.json").write_text(json.dumps(result))
    return directory


@pytest.fixture
def outputs(tmp_path):
    put(tmp_path, "a" * 12, 0, -90.5)
    put(tmp_path, "b" * 12, 1, -80.0, **{"model.latent_dim": 2, "optimizer.lr": 0.001})
    put(tmp_path, "c" * 12, 2, -100.0, **{"model.encoder.hidden": [64, 64], "optimizer.lr": 1})
    put(tmp_path, "d" * 12, 0, -70.0, **{"estimator._target_": "RWS", "trainer.alternate": True})
    unfinished = tmp_path / "runs" / ("e" * 12)
    (unfinished / ".hydra").mkdir(parents=True)
    (unfinished / ".hydra" / "config.yaml").write_text("seed: 7\n")
    return tmp_path


def names(outputs, *conditions):
    return "".join(sorted(signature[0] for signature in vae_lab.runs(outputs, *conditions)["signature"]))


@pytest.mark.parametrize(
    ("word", "fulfil"),
    [
        ("seed=0", "ad"), ("seed=0,1", "abd"), ("seed!=0", "bce"), ("seed>1", "ce"), ("seed==7", "e"),
        ("model.latent_dim>2", "acd"), ("model.latent_dim<=2", "b"), ("test/elbo>-90.5", "bd"),
        ("test/elbo>=-9.05e1", "abd"), ("estimator=iwae", "abc"), ("estimator!=iwae", "d"),
        ("model.encoder.hidden=[64,64]", "c"), ("model.encoder.hidden=[64,64],[128]", "abcd"),
        ("trainer.alternate=true", "d"), ("trainer.options=null", "abcd"), ("trainer.options!=null", ""),
        ("status=done", "abcd"), ("status=stopped", "e"), ("command=train", "abcde"), ("command=embed", ""),
        ("finished>2020-01-01", "abcd"), ("signature=aaaaaaaaaaaa", "a"), ("estimator=rloo", ""),
        ("optimizer.lr<1", "b"), ("bytes>1", "abcde"), ("estimator.kl=analytic", "abcd"),
    ],
)  # fmt: skip
def test_a_condition_in_words(outputs, word, fulfil):
    assert names(outputs, word) == fulfil


def test_all_conditions_hold_at_once(outputs):
    assert names(outputs, "seed=0", "estimator=iwae") == "a"


@pytest.mark.parametrize("key", ["seed", "test/elbo", "model.latent_dim", "optimizer.lr"])
def test_a_comparison_and_its_opposite_part_the_runs_that_have_the_key(outputs, key):
    every = records(outputs)
    having = {record.folder for record in every if key in record.entries}
    for first, other in (("=", "!="), ("<", ">="), (">", "<=")):
        for value in {record.entries[key] for record in every if key in record.entries}:
            one, two = (
                {each.folder for each in matching(every, [f"{key}{sign}{value}"])} for sign in (first, other)
            )
            assert one | two == having
            assert not one & two


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("latent_dim>2", "latent_dim>2: no run here has latent_dim; did you mean model.latent_dim?"),
        ("sed=0", "sed=0: no run here has sed; did you mean seed?"),
        ("qqqqqq=0", "qqqqqq=0: no run here has qqqqqq; vae-lab runs show RUN lists those of a run."),
        ("seed=x", "seed=x: seed must be a number, got x."),
        ("seed=", "seed= needs a value; write seed=VALUE."),
        ("seed", "seed is no condition; write seed=VALUE, or 'seed>VALUE' in quotes, without which a shell"),
        ("seed<1,2", "seed<1,2: < compares with one value; write one, or use =."),
        ("seed<null", "seed<null: < compares with one value; write one, or use =."),
        ("estimator>2", "estimator>2: estimator is no number, which > compares; use =."),
        ("trainer.alternate=1", "trainer.alternate=1: trainer.alternate must be true or false, got 1."),
        ("model.encoder.hidden=64", "hidden must be a list such as [128], got 64."),
        ("finished>now", "finished must be a day or a time such as 2026-01-31 or"),
        ("status=fail", "status=fail: fail is not a value of status; did you mean failed? There are: done,"),
        ("estimator=iwea", "estimator=iwea: iwea is not a value of estimator; did you mean iwae? There are:"),
        ("command=trian", "command=trian: trian is not a value of command; did you mean train? There are:"),
    ],
)
def test_a_condition_that_can_hold_for_no_run_is_one_sentence(outputs, word, message):
    with pytest.raises(UserError) as error:
        vae_lab.runs(outputs, word)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_comparison_is_read_whole():
    for sign in (*ORDERS, "=", "!="):
        assert condition(f"test/elbo{sign}-1")[1:] == ("test/elbo", sign, ["-1"])


def test_numbers_keep_their_types_and_equal_settings_are_left_out(outputs):
    table = vae_lab.runs(outputs)
    types = dict(table.schema)
    assert types["seed"] == types["model.latent_dim"] == types["samples"] == types["bytes"] == pl.Int64
    assert types["test/elbo"] == types["optimizer.lr"] == types["seconds"] == pl.Float64
    assert types["trainer.alternate"] == pl.Boolean
    assert types["finished"] == pl.Datetime("us", "UTC")
    assert table.columns[:4] == ["signature", "command", "status", "estimator"]
    done = vae_lab.runs(outputs, "status=done")
    assert not {"estimator.kl", "trainer.options", "validation/elbo"} & set(done.columns)
    assert table["model.encoder.hidden"].to_list() == ["[128]", "[128]", "[64, 64]", "[128]", None]
    assert dict(vae_lab.runs(outputs, "seed=9").schema).items() <= types.items()


def test_size_is_that_of_all_files(outputs):
    (outputs / "runs" / ("a" * 12) / "own").mkdir()
    before = vae_lab.runs(outputs, "seed=0")["bytes"][0]
    (outputs / "runs" / ("a" * 12) / "own" / "notes").write_bytes(bytes(1000))
    assert vae_lab.runs(outputs, "seed=0")["bytes"][0] == before + 1000


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no such folder; pass that of your results"):
        vae_lab.runs(tmp_path / "nowhere")
    assert vae_lab.runs(tmp_path).is_empty()


@pytest.mark.parametrize("group", ["dataset", "estimator", "model", "noise", "optimizer"])
def test_an_option_is_recognised_by_its_settings(group, tmp_path):
    for option in set(options_of(group)) - {"none"}:
        cfg = composed(f"{group}={option}")
        assert choices_of(definition(cfg), tmp_path)[group] == option


def test_an_option_is_recognised_when_a_setting_of_it_is_changed(tmp_path):
    changed = [
        "estimator.num_samples=9",
        "model.latent_dim=3",
        "model.encoder.hidden=[7]",
        "optimizer.lr=0.5",
    ]
    choices = choices_of(definition(composed("estimator=rloo", "optimizer=sgd", *changed)), tmp_path)
    assert [choices[name] for name in ("estimator", "model", "optimizer")] == ["rloo", "mlp", "sgd"]


def test_an_option_that_was_typed_comes_first_and_a_class_without_option_is_itself(tmp_path):
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("- model=relu2\n- estimator=rws\n")
    flat = definition(composed())
    assert choices_of(flat, tmp_path)["model"] == "relu2"
    assert choices_of(flat | {"estimator._target_": "mine.Mine"}, tmp_path)["estimator"] == "Mine"


def test_the_package_is_imported_without_what_the_table_needs():
    program = "import sys, vae_lab; vae_lab.runs; import vae_lab.runs.find; print(vae_lab.runs('.').shape[0])"
    light = "import sys, vae_lab.runs; print('polars' in sys.modules, 'torch' in sys.modules)"
    for text, printed in ((program, "0\n"), (light, "False False\n")):
        ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
        assert ended.stdout == printed
