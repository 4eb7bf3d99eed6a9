"""A refused command line names what to write instead, and what it names works."""

import shlex
from functools import cache

import pytest
from conftest import composed
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from vae_lab.cli.main import _as_hydra_reads, main
from vae_lab.config.explain import explain, readable_message
from vae_lab.config.options import groups
from vae_lab.config.suggest import KEYS, OPTIONS, keys_like, options_like
from vae_lab.errors import UserError, shortened
from vae_lab.files.paths import CONF

WORDS = {  # what is typed, what is to be written instead
    "seed 1": "write seed=1.",
    "seed =1": "write seed=1.",
    "seed= 1": "write seed=1.",
    "seed = 1": "write seed=1.",
    "285b4cd9f55f": "285b4cd9f55f cannot be read: a key is missing; write run=285b4cd9f55f.",
    "outputs/runs/285b4cd9f55f/": "a key is missing; write run=outputs/runs/285b4cd9f55f/.",
    "estimator._target_=own.Mine estimator.scale=2": "option that is chosen; write +estimator.scale=2.",
    "seed": "seed needs a value; write seed=VALUE.",
    "seed model=mlp": "seed needs a value; write seed=VALUE.",
    "model.encoder.hidden=[256": "a bracket is not closed; write model.encoder.hidden=[256].",
    "model.encoder.hidden=[256, 128]": 'a list is one word; write "model.encoder.hidden=[256, 128]".',
    "trainer={max_epochs: 1": 'a bracket is not closed; write "trainer={max_epochs: 1}".',
    "model.latent_dim=\N{SNOWMAN}": "in quotes; write \"model.latent_dim='\N{SNOWMAN}'\".",
    'output_dir=a"b(': r"""in quotes; write "output_dir='a\"b('".""",
    "model.latent_dim=2,8": "add -m to run each, or write model.latent_dim=[2,8] for a list.",
    "--epochs 10": "--epochs is not understood: write trainer.max_epochs=10;",
    "--batch-size=10": "--batch-size=10 is not understood: write dataset.batch_size=10;",
    "seed=1 -x": "-x is not understood: keys are given as key=value;",
    "--cfg nope": "invalid choice: 'nope'",
    "--config-name nope": "--config-name=nope is no configuration; leave it out.",
    "~sed": "sed does not exist; did you mean seed?",
    "model@x=mlp": "model@x does not exist; did you mean model?",
    "model/encodr=mlp": "model/encodr is not a group of options; did you mean model/encoder?",
    "model/network=pixelcnn": "model/network is not a part of this model or command, but of model=auto",
    "model=iwae": "model=iwae is not an option; did you mean estimator=iwae?",
    "estimator=reinforce": "estimator=reinforce is not an option; did you mean score_function? There are:",
    "hydra.job.env_set={A:1}": "hydra.job.env_set.A does not exist; +hydra.job.env_set.A=... adds it.",
    "+hydra.job.env_set={a\\=b:1}": "hydra.job.env_set must hold names of variables, got 'a=b'.",
    "+hydra.job.env_set={A:{b:1}}": "hydra.job.env_set.A must be a text, got {'b': 1}.",
    "estimator.K=5": "estimator.K does not exist; did you mean estimator.num_samples?",
    "model.latent_dim=${oc.env:NOPE}": "\"Environment variable 'NOPE' not found\"",
}


def said(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert isinstance(end.value.code, str)
    assert "\n" not in end.value.code
    return end.value.code


@pytest.mark.parametrize("words", WORDS)
def test_words(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert WORDS[words] in said(["train", *words.split(" ")])
    assert not list(tmp_path.iterdir())


def test_what_is_to_be_written_is_what_was_meant():
    (word,) = shlex.split(said(["train", 'output_dir=a"b(']).split("write ")[1].removesuffix("."))
    assert OverridesParser.create().parse_override(word).value() == 'a"b('


@pytest.mark.parametrize(
    "words", [words for words, hint in WORDS.items() if "write" in hint and "VALUE" not in hint]
)
def test_what_is_to_be_written_can_be_read(words):
    message = said(["train", *words.split(" ")])
    hint = message.split("write ")[1].split(" for a list")[0].split("; vae-lab")[0].removesuffix(".")
    (word,) = shlex.split(hint)
    assert OverridesParser.create().parse_override(word).value() is not None


KEYS_OF_TRAIN = {
    "latent_dim": ["model.latent_dim"],
    "lr": ["optimizer.lr", "evaluation.fit.lr"],
    "epochs": ["trainer.max_epochs"],
    "hidden": ["model.encoder.hidden", "model.decoder.hidden"],
    "batch_size": ["dataset.batch_size"],
    "K": ["estimator.num_samples"],
    "gpus": ["trainer.accelerator=gpu"],
    "beta": ["estimator.beta"],
    "output": ["output_dir"],
    "z_dim": ["model.latent_dim"],
    "encoder": ["model/encoder"],
    "schedule": ["optimizer/schedule"],
    "launcher": ["hydra/launcher"],
    "zq": [],
}


@cache
@pytest.mark.parametrize("name", KEYS_OF_TRAIN)
def test_the_keys_that_a_name_may_stand_for(name):
    found = keys_like(name, composed())
    assert found[: len(KEYS_OF_TRAIN[name])] == KEYS_OF_TRAIN[name]
    assert bool(found) == bool(KEYS_OF_TRAIN[name])


@pytest.mark.parametrize("name", [name for name, meant in KEYS_OF_TRAIN.items() if meant])
def test_what_is_meant_replaces_what_was_typed(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meant = keys_like(name, composed())
    assert f"{name} does not exist; did you mean {' or '.join(meant)}?" in said(["train", f"{name}=1"])


def test_every_key_of_the_table_is_one_of_some_command():
    configs = [
        composed(),
        composed("estimator=gumbel_softmax", "dataset=image_folder", "dataset.path=x"),
        composed("dataset=mnist"),
        *(composed(command=command) for command in ("evaluate", "generate", "impute")),
    ]
    for key in {key for meant in KEYS.values() for key in meant}:
        name = key.partition("=")[0].replace("/", ".")
        there = [OmegaConf.select(config, name, default="absent") != "absent" for config in configs]
        assert any(there) or key.startswith("hydra"), key


def test_every_option_of_the_table_is_one():
    for words, meant in OPTIONS.items():
        for choice in meant:
            group, option = choice.split("=")
            assert group in groups(), (words, choice)
            assert (CONF / group / f"{option}.yaml").is_file(), (words, choice)


@pytest.mark.parametrize(
    ("choice", "meant"),
    {
        "dataset=MNIST": ["dataset=mnist"],
        "optimizer=Adam": ["optimizer=adam"],
        "estimator=vae": ["estimator=reparameterized"],
        "model=vae": ["model=mlp"],
        "estimator=rws": ["estimator=reweighted_wake_sleep"],
        "noise=qmc": ["noise=sobol"],
        "model=iwae": ["estimator=iwae"],
        "estimator=iwaee": ["estimator=iwae"],
        "model=xqxq": [],
    }.items(),
)
def test_the_options_that_one_may_stand_for(choice, meant):
    group, option = choice.split("=")
    options = [path.stem for path in sorted((CONF / group).glob("*.yaml"))]
    assert options_like(group, option, options) == meant


def test_commands(capsys):
    main(["version"])
    main(["--version"])
    main(["help"])
    main([])
    main(["sweep", "--list"])
    out = capsys.readouterr().out
    assert out.startswith("vae-lab 0")
    assert "usage: vae-lab COMMAND" in out
    assert "usage: vae-lab sweep NAME" in out
    assert "did you mean vae-lab train seed=1 lr=2?" in said(["seed=1", "lr=2"])
    assert "did you mean vae-lab sweep latent_dim?" in said(["latent_dim"])
    assert "did you mean latent_dim?" in said(["sweep", "Latent_dim"])
    assert "did you mean model.latent_dim?" in said(["sweep", "latent_dim", "latent_dim=4"])
    assert "did you mean measures.importance_samples?" in said(["evaluate", "K=4"])
    assert "did you mean number?" in said(["generate", "num_samples=4"])


@pytest.mark.parametrize(
    "words",
    [
        ["a\nb"],
        ["train", "a\nb=1"],
        ["train", "model=a\nb"],
        ["train", "seed=a\nb"],
        ["evaluate", "run=a\r\x1b"],
    ],
)
def test_a_message_is_one_line_whatever_it_repeats(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said(words).isprintable()


@pytest.mark.parametrize("words", [["help", "train"], ["train", "--help"], ["train", "seed=1", "-h"]])
def test_help_in_any_place(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code in (0, None)
    assert "usage: vae-lab train" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["seed 1", "seed =1", "seed = 1"])
def test_a_space_within_a_word_stands_for_an_equals_sign(word):
    assert "write seed=1." in said(["train", word])


def test_a_key_below_nothing_is_named():
    key = "callbacks.estimator_probe"
    assert f"{key} does not exist: callbacks is empty." in said(["gradients", f"{key}.x=1"])


def test_a_mistake_that_is_found_while_a_value_is_resolved_is_told_alone():
    def refuse():
        raise UserError("data: there is no such file.")

    OmegaConf.register_new_resolver("refuse", refuse, replace=True)
    with pytest.raises(InterpolationResolutionError) as raised:
        _ = OmegaConf.create({"a": "${refuse:}"}).a
    assert explain(raised.value, "train") == "data: there is no such file."


@pytest.mark.parametrize("words", [["train", f"hydra.run.dir={'a' * 300}"], ["evaluate", f"run={'a' * 300}"]])
def test_a_path_that_no_file_can_have_is_refused(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "is too long for the name of a file" in said(words)
    assert not list(tmp_path.iterdir())


def test_long_words_lose_their_middle():
    assert (
        readable_message(f"key must be int, got {'x' * 5000}.")
        == f"key must be int, got {'x' * 100}…{'x' * 99}."
    )
    assert len(shortened("x" * 500, 100)) == 101


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("run=59e074444826", "run='59e074444826'"),
        ("run=012345678901", "run='012345678901'"),
        ("+runs=[59e074444826,285b4cd9f55f]", "+runs=['59e074444826',285b4cd9f55f]"),
        ("background=59e074444826", "background='59e074444826'"),
        ("run='59e074444826'", "run='59e074444826'"),
        ("run=outputs/runs/59e074444826", "run=outputs/runs/59e074444826"),
        ("trainer.max_samples=100000000000", "trainer.max_samples=100000000000"),
    ],
)
def test_a_signature_is_never_read_as_a_number(word, read):
    assert _as_hydra_reads([word])[-1] == read
