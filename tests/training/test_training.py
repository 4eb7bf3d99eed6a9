import math
import tracemalloc
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from vae_lab.models.likelihoods import Bernoulli, Gaussian
from vae_lab.models.networks import MLP
from vae_lab.training import TrainerFactory
from vae_lab.training.not_finite import NotFiniteError, check_parameters, of_term
from vae_lab.training.optimizers import OptimizerFactory
from vae_lab.training.schedule import steps_at
from vae_lab.training.window import Window

SIZES = {"num_steps": 100, "batch_size": 10, "dataset_size": 95}


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("end", {100}),
        (250, {25, 50, 75, 100}),
        ([1, 10, 11, 5000], {1, 2}),
        ([], set()),
        ("epoch", {math.ceil(95 * epoch / 10) for epoch in range(1, 11)}),
    ],
)
def test_points_in_samples_become_steps(points, expected):
    assert steps_at(points, **SIZES) == expected


def test_log_means_ten_a_decade():
    steps = steps_at("log", num_steps=10_000, batch_size=100, dataset_size=1)
    assert {1, 10, 100, 1000, 10_000} <= steps
    assert len([step for step in steps if 1000 < step <= 10_000]) == 10


@pytest.mark.parametrize("batch_size", [1, 7, 10, 64])
@pytest.mark.parametrize("every", [1, 3, 10, 25, 95, 1000])
def test_steps_that_take_no_memory_are_those_that_are_listed(batch_size, every):
    sizes = {"num_steps": 100, "batch_size": batch_size, "dataset_size": every}
    listed = {math.ceil(count / batch_size) for count in range(every, 100 * batch_size + 1, every)}
    for lazy in (steps_at(every, **sizes), steps_at("epoch", **sizes)):
        assert lazy == listed
        assert list(lazy) == sorted(listed)
        assert {step for step in range(-2, 110) if step in lazy} == listed


@pytest.mark.parametrize("points", ["epoch", "log", "end", 1, 10_000, [5, 10**13]])
def test_a_budget_without_an_end_takes_no_memory(points):
    tracemalloc.start()
    steps = steps_at(points, num_steps=10**13, batch_size=100, dataset_size=1437)
    assert [step in steps for step in (0, 10**13 + 1)] == [False, False]
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_samples": 1e16}, "max_samples must be at most 1e[+]15"),
        ({"max_epochs": 10**400}, "max_epochs must be at most 1e[+]15"),
        ({"max_epochs": 1, "devices": 2147483648}, "devices must be at most 1024, got 2147483648"),
        ({"max_epochs": 1, "devices": "99999"}, "devices must be at most 1024, got 99999"),
    ],
)
def test_a_size_that_no_machine_has_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        TrainerFactory(**settings)
    with pytest.raises(ValueError, match="max_epochs must be at most 20000000000000 for these data"):
        TrainerFactory(max_epochs=10**14).num_steps(batch_size=10, dataset_size=50)


@pytest.mark.parametrize("points", [0, -5, [100, 0]])
def test_sample_counts_begin_at_one(points):
    with pytest.raises(ValueError, match="evaluate_at must hold sample counts of at least 1"):
        steps_at(points, **SIZES, name="evaluate_at")


def test_the_budget_is_rounded_up_to_whole_batches():
    assert TrainerFactory(max_samples=101).num_steps(batch_size=10, dataset_size=50) == 11
    assert TrainerFactory(max_epochs=3).num_steps(batch_size=10, dataset_size=55) == 17
    assert TrainerFactory(max_epochs=3, max_samples=20).num_steps(batch_size=10, dataset_size=55) == 2


def test_the_window_finds_the_step_and_the_term():
    window = Window(size=4)
    for value in (1.0, 2.0, math.inf, 4.0):
        window.add({"reconstruction": torch.tensor([value]), "kl": torch.tensor([0.0])})
    assert window.first_not_finite() == (2, "reconstruction", math.inf)


@pytest.mark.parametrize(
    ("name", "value", "likelihood", "advice"),
    [
        ("surrogate", math.nan, Bernoulli(), "use another estimator, or trainer.precision=64-true."),
        ("reconstruction", -math.inf, Gaussian(), "use model/likelihood=gaussian_fixed, or a lower"),
        ("reconstruction", math.nan, Bernoulli(), "too large: use a lower optimizer.lr than 0.001."),
        ("kl", math.inf, Gaussian(), "too wide or too narrow: use a lower optimizer.lr than 0.001."),
    ],
)
def test_advice_fits_what_was_the_first_not_to_be_finite(name, value, likelihood, advice):
    module = SimpleNamespace(
        model=SimpleNamespace(likelihood=likelihood),
        optimizer=OptimizerFactory(torch.optim.Adam, lr=0.001),
        trainer=SimpleNamespace(precision="32-true"),
    )
    message = str(of_term(module, 7, name, value))
    assert message.startswith(f"training stopped at step 7: the term {name} ({value}) is not finite. ")
    assert advice in message


def test_a_parameter_that_is_not_finite_is_named_and_its_gradient_blamed():
    module = nn.Linear(2, 2)
    module.global_step, module.trainer = 7, SimpleNamespace(precision="64-true")
    check_parameters(module)
    nn.init.constant_(module.bias, math.nan)
    with pytest.raises(NotFiniteError, match="the parameter bias is not finite.*its objective is: use"):
        check_parameters(module)


@pytest.mark.parametrize("precision", ["16-true", "bf16-true", "transformer-engine", "16-mixed", 16])
def test_precisions_that_cannot_serve_are_refused(precision):
    with pytest.raises(ValueError, match="precision must be 32-true, bf16-mixed or 64-true on a CPU, got"):
        TrainerFactory(max_epochs=1, precision=precision)


@pytest.mark.parametrize("precision", ["32-true", 32, "bf16-mixed", "64-true", "bf16"])
def test_precisions_that_serve(precision):
    assert TrainerFactory(max_epochs=1, precision=precision).precision == precision


def test_the_window_begins_anew_when_full_and_survives_a_checkpoint():
    window, restored = Window(size=3), Window(size=3)
    for value in (1.0, 2.0, 3.0, 10.0):
        window.add({"elbo": torch.tensor([value])})
    restored.load_state_dict(window.state_dict())
    for copy in (window, restored):
        copy.add({"elbo": torch.tensor([20.0])})
        assert copy.means().tolist() == [15.0]


def test_a_term_that_some_steps_lack_is_averaged_over_the_others(monkeypatch):
    """Memory that was not written to is no value of a step: here it would be NaN."""

    def of_nan(make):
        return lambda *args, **kwargs: make(*args, **kwargs).fill_(math.nan)

    monkeypatch.setattr(torch, "empty", of_nan(torch.empty))
    monkeypatch.setattr(torch.Tensor, "new_empty", of_nan(torch.Tensor.new_empty))
    window = Window(size=4)
    window.add({"elbo": torch.tensor([1.0]), "early": torch.tensor([2.0])})
    window.add({"elbo": torch.tensor([2.0])})
    window.add({"late": torch.tensor([7.0]), "elbo": torch.tensor([3.0])})
    restored = Window(size=4)
    restored.load_state_dict(window.state_dict())
    for copy in (window, restored):
        copy.add({"elbo": torch.tensor([6.0]), "late": torch.tensor([8.0])})
        assert copy.first_not_finite() is None
        assert dict(zip(copy.names, copy.means().tolist(), strict=True)) == {
            "elbo": 3.0,
            "early": 2.0,
            "late": 7.5,
        }
        copy.add({"elbo": torch.tensor([1.0])})
        assert copy.names == ["elbo"]
    assert restored.steps[0][1].equal(window.steps[0][1])


def test_a_window_that_is_restored_goes_on_where_the_training_is():
    """Checkpoints are read into the CPU's memory; the steps that follow may be on a GPU."""
    before, restored = Window(size=4), Window(size=4)
    before.add({"elbo": torch.tensor([1.0])})
    restored.load_state_dict(before.state_dict())
    with FakeTensorMode(allow_non_fake_inputs=True):
        restored.add({"elbo": torch.ones(1, device="cuda")})
        assert restored.means().device.type == "cuda"


def test_a_value_that_is_not_finite_is_found_at_its_step_when_terms_change():
    window = Window(size=4)
    window.add({"elbo": torch.tensor([1.0])})
    window.add({"late": torch.tensor([math.inf]), "elbo": torch.tensor([2.0])})
    assert window.first_not_finite() == (1, "late", math.inf)


@pytest.mark.parametrize("algorithm", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.SGD])
def test_optimizers_are_fused(algorithm):
    optimizer = OptimizerFactory(algorithm, lr=0.1).optimizer([nn.Parameter(torch.zeros(2))])
    assert optimizer.defaults["fused"]


def test_an_algorithm_without_a_fused_implementation_works_all_the_same():
    factory = OptimizerFactory(torch.optim.RMSprop, lr=0.1, weight_decay=0.2)
    optimizer = factory.optimizer([nn.Parameter(torch.zeros(2))])
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (0.1, 0.2)


def test_a_schedule_counts_epochs_or_steps():
    network = MLP((2,), (2,), hidden=[])
    for interval, frequency in (("epoch", 12), ("step", 1)):
        factory = OptimizerFactory(
            torch.optim.SGD,
            lr=0.1,
            schedule=lambda optimizer: torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5),
            schedule_interval=interval,
        )
        scheduler = factory.lightning(network.parameters(), [], steps_per_epoch=12)["lr_scheduler"]
        assert (scheduler["interval"], scheduler["frequency"]) == ("step", frequency)


def test_only_the_generative_model_decays_if_asked():
    generative, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    factory = OptimizerFactory(torch.optim.SGD, lr=0.1, weight_decay=0.5, decays="generative")
    optimizer = factory.optimizer([generative], [other])
    generative.grad, other.grad = torch.zeros(2), torch.zeros(2)
    optimizer.step()
    assert generative.tolist() == [pytest.approx(0.95)] * 2  # 1 - 0.1 * 0.5
    assert other.tolist() == [1, 1]
