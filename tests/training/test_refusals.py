"""A refused run names overrides, and each alternative that it names makes a run, in one step."""

import re
from pathlib import Path

import pytest
from conftest import composed

from vae_lab.errors import UserError
from vae_lab.estimators.base import Needs
from vae_lab.files.paths import CONF
from vae_lab.training.build import build_run
from vae_lab.training.compatibility import REQUIREMENTS
from vae_lab.training.settings import Settings

PARTS = ("posterior", "prior", "likelihood", "encoder", "decoder")
GROUPS = ("estimator", "noise", "model", *(f"model/{part}" for part in PARTS))
WORD = re.compile(r"[\w./]+=\S+")


def options(group):
    return sorted(f"{group}={path.stem}" for path in (Path(CONF) / group).glob("*.yaml"))


CHECKPOINTS = Path("checkpoints")
ALONE = [[option] for group in GROUPS for option in options(group)]


def refusal(words):
    """The message with which a run is refused, or None."""
    try:
        build_run(Settings.of(composed("dataset=digits", "logger=none", *words), keep_data=True), CHECKPOINTS)
    except UserError as error:
        return str(error)
    return None


def recommended(message):
    """The alternatives that a message recommends, each a list of overrides."""
    _, _, hint = message.partition("; use ")
    return [WORD.findall(each) for each in re.sub(r"\.$", "", hint).split(" or ") if WORD.findall(each)]


def applied(words, hint):
    """The command line with overrides in the place of those of the same keys."""
    given = {word.split("=")[0] for word in hint}
    return [word for word in words if word.split("=")[0] not in given] + hint


def check(words):
    """The alternatives that are recommended for a command line, each of which makes a run."""
    message = refusal(words)
    hints = recommended(message) if message else []
    for hint in hints:
        again = refusal(applied(words, hint))
        assert again is None, f"{' '.join(words)}: {message}\n{' '.join(hint)}: {again}"
    return hints


@pytest.mark.parametrize("words", ALONE, ids=" ".join)
def test_each_option_alone(words):
    check(words)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", options("estimator"))
def test_each_posterior_with(estimator):
    for posterior in options("model/posterior"):
        check([estimator, posterior])


@pytest.mark.parametrize(
    ("words", "hints"),
    [
        ("estimator=disarm", ["model/posterior=bernoulli model/prior=bernoulli"]),
        ("estimator=monte_carlo_em", ["model/encoder=none evaluation=marginal_likelihood"]),
        (
            "model/encoder=none",
            ["model/encoder=mlp", "estimator=monte_carlo_em evaluation=marginal_likelihood"],
        ),
        (
            "model/posterior=bernoulli",
            ["model/prior=bernoulli estimator=rloo", "model/posterior=gaussian"],
        ),
        ("model/prior=vamp", ["estimator.kl=sampled"]),
        ("model/posterior=gamma estimator=arm", ["model/posterior=bernoulli model/prior=bernoulli"]),
    ],
)
def test_known_hints(words, hints):
    assert [" ".join(hint) for hint in check(words.split())] == hints


def test_every_need_has_a_rule():
    assert set(REQUIREMENTS) == set(Needs)
