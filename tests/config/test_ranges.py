"""Numbers and words of a configuration have a range, and what is built has the memory that there is."""

import re
from functools import partial

import pytest
import torch
from torch import nn

from vae_lab.config.ranges import MAXIMUM, MINIMUM, check_range
from vae_lab.errors import UserError
from vae_lab.files.paths import CONF
from vae_lab.numerics import memory
from vae_lab.numerics.memory import check_fits, fitting
from vae_lab.training.optimizers import Burda2016, Mohamed2020, OptimizerFactory


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "must be finite, got nan."),
        ([1.0, float("-inf")], "must be finite, got -inf."),
        (1e300, "must be at most 1e+30, got 1e+300."),
        (-1e300, "must be a number that is nearer to 0, got -1e+300."),
        (10**20, "must be at most 9.0072e+15, got 100000000000000000000."),
        (10**100, "must be at most 9.0072e+15, got 100000000000…000000000000."),
        (1e-300, "must be 0 or at least 1e-30, got 1e-300."),
        ("", "must not be empty."),
        (["a", " "], "must not be empty."),
        ({"a": "b\nc"}, "must be on one line, got 'b\\nc'."),
    ],
)
def test_what_has_no_sense(value, message):
    with pytest.raises(UserError, match=re.escape(f"model.part {message}")):
        check_range(value, "part", "model.part", of_package=True)


@pytest.mark.parametrize("value", [0, -1, 2**31, 1e-8, 1e30, "a/b c", None, True, [], {}, [1, [2.5]]])
def test_what_may_have_sense(value):
    check_range(value, "part", "model.part", of_package=True)


def test_the_table_is_about_the_classes_of_this_package():
    with pytest.raises(UserError, match=re.escape("at most 100,000, got 100001.")):
        check_range([5, 10**5 + 1], "hidden", "model.encoder.hidden", of_package=True)
    check_range([5, 10**5 + 1], "hidden", "model.encoder.hidden", of_package=False)
    with pytest.raises(UserError, match=re.escape("at least 0, got -1.")):
        check_range(-1, "split_seed", "dataset.split_seed", of_package=True)


def test_every_name_of_the_table_is_a_key():
    text = "\n".join(path.read_text() for path in CONF.rglob("*.yaml"))
    assert [name for name in (*MAXIMUM, *MINIMUM) if not re.search(rf"\b{name}:", text)] == []


def test_networks_that_do_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "total", lambda: 10_000)
    with fitting("the networks"):
        nn.Linear(10, 10)
    with (
        pytest.raises(ValueError, match="the networks would need 0 GB, and this machine has 0"),
        fitting("the networks"),
    ):
        nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30))
    nn.Linear(100, 100)  # nobody asks
    check_fits(2_500, "x")
    with pytest.raises(ValueError, match="x would need"):
        check_fits(2_501, "x")


ALGORITHMS = [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad, torch.optim.RMSprop]
SCHEDULES = [
    None,
    Burda2016,
    partial(Mohamed2020, T_max=1),
    partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=2),
    partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9),
]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_optimizers_that_take_steps(algorithm, schedule):
    OptimizerFactory(algorithm, lr=0.1, schedule=schedule).check()


@pytest.mark.parametrize(
    ("algorithm", "schedule", "message"),
    [
        (partial(torch.optim.Adam, betas=(3, 3)), None, "algorithm cannot take a step with its settings"),
        (partial(torch.optim.Adam, lr=1.0), None, "algorithm.lr has no effect; use lr"),
        (partial(torch.optim.SGD, nesterov=True), None, "algorithm cannot take a step with its settings"),
        (
            torch.optim.Adam,
            partial(torch.optim.lr_scheduler.ExponentialLR, gamma=-1.0),
            "schedule must give rates that are finite and not negative",
        ),
        (
            torch.optim.Adam,
            partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=0),
            "schedule cannot take a step with its settings",
        ),
    ],
)
def test_optimizers_that_cannot(algorithm, schedule, message):
    with pytest.raises(ValueError, match=message):
        OptimizerFactory(algorithm, lr=0.1, schedule=schedule).check()
