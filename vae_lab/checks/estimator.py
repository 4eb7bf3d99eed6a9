"""A gradient estimator held to what it declares."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from vae_lab.checks.cases import CASES, MAIN_CASES, Case, copies_of, one_datum
from vae_lab.checks.common import check_close, check_device
from vae_lab.checks.finding import DoesNotApplyError, Finding, Status, finding_of, raised
from vae_lab.checks.mean_gradient import (
    COPIES,
    FALSE_ALARMS,
    TESTS,
    GradientComparison,
    block_means,
    compare,
    estimate,
    gradient,
    parts_of,
)
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimate, Estimator, Needs
from vae_lab.estimators.multi_sample import MultiSampleEstimator
from vae_lab.estimators.reparameterized import Reparameterized
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import AntitheticNoise, NoiseSource
from vae_lab.probe.reference import reference
from vae_lab.probe.replicates import Objective, stacked
from vae_lab.training.compatibility import check_needs
from vae_lab.training.offer import Offer

Make = Callable[..., Estimator]  # of changes to the arguments
Served = Generator[Finding, None, list[Case]]
RELATIVE_BIAS = 0.01  # that is to be found
MAX_COPIES = 40 * COPIES
REFERENCE_COPIES = 20 * COPIES
GRADIENT, BIAS, BOUND = "mean gradient", "declared bias", "mean bound"
TERMS, DATUM, NOISE = "terms", "each datum by itself", "function of its noise"
INPUTS, FUNC, SINGLE = "leaves the model alone", "torch.func", "single precision"
DEVICE, STATE, EVAL, PAIRS = "device", "saved state", "without gradients", "dependent samples"


class References:
    """True gradients and bounds of targets: exact, or means of large samples, each computed once."""

    def __init__(self) -> None:
        self._gradients: dict[tuple[str, str], Tensor] = {}
        self._bounds: dict[tuple[str, str], tuple[float, float]] = {}

    def gradient(self, case: Case, estimator: Estimator) -> Tensor:
        """The gradient of the estimator's target, `(1, parameters)` if exact, else of blocks."""
        key = (case.name, estimator.target)
        if key not in self._gradients:
            exact = case.exact_bound(estimator.target)
            if exact is not None:
                self._gradients[key] = gradient(case.vae, exact).unsqueeze(0)
            else:
                other = self._other(case.vae, estimator)
                self._gradients[key] = block_means(other, case.vae, NoiseSource(99), copies=REFERENCE_COPIES)
        return self._gradients[key]

    def bound(self, case: Case, estimator: Estimator) -> tuple[float, float]:
        """The estimator's target in nats, with its standard error."""
        key = (case.name, estimator.target)
        if key not in self._bounds:
            exact = case.exact_bound(estimator.target)
            if exact is not None:
                self._bounds[key] = float(exact.detach()), 0.0
            else:
                other = self._other(case.vae, estimator)
                with torch.no_grad():
                    batch = copies_of(one_datum(case.vae), 5 * REFERENCE_COPIES)
                    self._bounds[key] = _mean(estimate(other, case.vae, batch, noise=NoiseSource(98)).bound)
        return self._bounds[key]

    def _other(self, vae: VAE, estimator: Estimator) -> Estimator:
        """An unbiased estimator of the same target.

        Raises:
            DoesNotApplyError: If none is known.
        """
        known: Estimator | None = None
        if isinstance(estimator, SingleSampleEstimator | MultiSampleEstimator):
            known = reference(estimator, vae)
        elif estimator.target == "elbo" and vae.posterior.is_reparameterized:
            known = Reparameterized(kl="sampled")
        own = estimator.reference(vae) if known is None else known
        if own is None:
            raise DoesNotApplyError(
                f"target={estimator.target!r} has no reference here; give an unbiased estimator of it by "
                "reference(vae)."
            )
        return own


def _mean(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def check_estimator(
    make: Make, variants: Sequence[Mapping[str, Any]], models: Iterable[str] = tuple(CASES)
) -> Iterator[Finding]:
    """Checks what an estimator declares: its target, its bias, its needs, and what every estimator owes.

    Args:
        make: Makes one, given changes to its arguments.
        variants: Further changes with which it is checked.
        models: Names of `CASES`, with which.

    Yields:
        The findings, as they come.
    """
    references = References()
    served = yield from _served(make, {}, models)
    if not served:
        text = "no model of the checks meets its needs: " + ", ".join(
            sorted(n.value for n in make().requires)
        )
        yield Finding("needs", "", "failed", text)
        return
    biases: list[Finding] = []
    for case in served:
        yield from _of_gradients(make, {}, case, references, biases, thorough=case.name in MAIN_CASES)
    for case in served:
        if case.name in MAIN_CASES:
            yield from _of_conduct(make, case, references)
    for changes in variants:
        for case in (yield from _served(make, changes, [name for name in models if name in MAIN_CASES])):
            yield from _of_gradients(make, changes, case, references, biases)
    if biases:
        yield _of_bias(biases)


def _served(make: Make, changes: Mapping[str, Any], names: Iterable[str]) -> Served:
    """The cases that meet the needs of an estimator; a generator that returns them."""
    cases = []
    for name in names:
        case = Case(name, CASES[name]())
        subject = _subject(name, changes)
        try:
            _prepared(make, changes, case.vae)
        except (ValueError, UserError) as refusal:
            yield Finding("needs", subject, "left out", (str(refusal).splitlines() or [""])[0])
        except Exception as error:
            yield Finding("needs", subject, "failed", raised(error))
        else:
            cases.append(case)
    return cases


def _subject(name: str, changes: Mapping[str, Any]) -> str:
    return ", ".join([name, *(f"{key}={value}" for key, value in changes.items())])


def _prepared(make: Make, changes: Mapping[str, Any], vae: VAE, copies: int = MAX_COPIES) -> Estimator:
    """The estimator, ready for a model.

    Raises:
        ValueError: If the estimator refuses its arguments or the model, or has needs that are not met.
    """
    torch.manual_seed(3)
    estimator = make(**changes)
    check_needs(estimator, Offer.of(vae))
    estimator.check(vae)
    estimator.prepare(vae, tuple(one_datum(vae).x.shape[1:]), copies)
    return estimator.double()


def _of_gradients(
    make: Make,
    changes: Mapping[str, Any],
    case: Case,
    references: References,
    biases: list[Finding],
    thorough: bool = False,
) -> Iterator[Finding]:
    """The mean gradient and the mean bound of one variant at one model."""
    subject = _subject(case.name, changes)
    estimator = _prepared(make, changes, case.vae)
    try:
        comparison = _compared(estimator, case, references, thorough)
    except DoesNotApplyError as reason:
        yield Finding(GRADIENT, subject, "failed", str(reason))
        return
    except Exception as error:
        yield Finding(GRADIENT, subject, "failed", raised(error))
        return
    text = _in_words(comparison)
    if estimator.bias:
        finding = Finding(GRADIENT, subject, "passed", f"{text}; bias is declared", comparison)
        biases.append(finding)
    else:
        status: Status = "failed" if comparison.is_biased else "passed"
        finding = Finding(GRADIENT, subject, status, text, comparison)
    yield finding
    if not estimator.bias:
        yield finding_of(BOUND, subject, partial(_bound, estimator, case, references))
    pairs = getattr(estimator, "num_samples", 1) % 2 == 0 and not estimator.bias
    if thorough and pairs and not {Needs.INDEPENDENT_SAMPLES, Needs.UNPAIRED_NOISE} & estimator.requires:
        yield finding_of(PAIRS, subject, partial(_with_pairs, estimator, case, references))


def _compared(estimator: Estimator, case: Case, references: References, thorough: bool) -> GradientComparison:
    """The comparison, with as many estimates as show a bias of one per cent, or as many as there may be."""
    true, parts = references.gradient(case, estimator), parts_of(case.vae)
    comparison = compare(block_means(estimator, case.vae, NoiseSource(0)), true, parts)
    needed = (comparison.detectable / RELATIVE_BIAS) ** 2 * COPIES if comparison.errors else 0
    if thorough and needed > COPIES and not comparison.is_biased:
        copies = min(MAX_COPIES, math.ceil(1.2 * needed))
        comparison = compare(block_means(estimator, case.vae, NoiseSource(1), copies=copies), true, parts)
    return comparison


def _in_words(comparison: GradientComparison) -> str:
    lengths = ", ".join(
        f"{name} {comparison.ratios[name]:.4f} ± {1.96 * comparison.errors[name]:.4f}"
        for name in comparison.ratios
    )
    text = f"largest z {comparison.z:.1f} of {comparison.limit:.1f}; along the true gradient: {lengths}"
    if comparison.is_biased or not comparison.errors:
        return text
    return f"{text}; a bias of {100 * comparison.detectable:.2g} % would be found"


def _of_bias(biases: Sequence[Finding]) -> Finding:
    seen = [each.subject for each in biases if each.comparison and each.comparison.is_biased]
    if seen:
        return Finding(BIAS, f"{len(seen)} of {len(biases)}", "passed", f"found with {'; '.join(seen)}")
    text = "no bias was found with any model; leave `bias` out, or say in `target` what is unbiased"
    return Finding(BIAS, f"0 of {len(biases)}", "failed", text)


def _bound(estimator: Estimator, case: Case, references: References) -> str:
    with torch.no_grad():
        values = estimate(estimator, case.vae, copies_of(one_datum(case.vae), 50 * COPIES)).bound
    (mean, error), (true, error_of_true) = _mean(values), references.bound(case, estimator)
    total = max(math.hypot(error, error_of_true), 1e-9)
    z = abs(mean - true) / total
    limit = float(stats.norm.isf(FALSE_ALARMS / (2 * TESTS)))
    text = f"{mean:.4f} ± {1.96 * error:.4f} nats, and {estimator.target} is {true:.4f}"
    assert z <= limit, f"{text}: {z:.1f} standard errors"
    return text


def _with_pairs(estimator: Estimator, case: Case, references: References) -> str:
    means = block_means(estimator, case.vae, AntitheticNoise(0))
    comparison = compare(means, references.gradient(case, estimator), parts_of(case.vae))
    assert not comparison.is_biased, (
        f"biased under noise=antithetic ({_in_words(comparison)}); add Needs.INDEPENDENT_SAMPLES to requires"
    )
    return f"unbiased under noise=antithetic: {_in_words(comparison)}"


def _of_conduct(make: Make, case: Case, references: References) -> Iterator[Finding]:
    """The conduct of every estimator, whatever its target."""
    tests = {
        TERMS: _terms,
        DATUM: _each_datum,
        NOISE: _noise,
        INPUTS: _inputs,
        FUNC: _func,
        SINGLE: _single,
        DEVICE: _device,
        STATE: _state,
        EVAL: _eval,
    }
    for name, test in tests.items():
        yield finding_of(name, case.name, partial(test, make, case.vae))


def _several(vae: VAE, size: int = 6) -> Batch:
    """Different data of a model."""
    datum = one_datum(vae)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(size, *datum.x.shape[1:], generator=generator, dtype=torch.float64)
    return Batch(x.round() if x.dim() > 2 else x, torch.arange(size))


def _noise_for(estimator: Estimator, vae: VAE, batch: Batch, step: int = 0) -> dict[str, Tensor]:
    return batch.draw_for_step(NoiseSource(0), estimator.noise_spec(vae, batch), "train", step)


def _terms(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    value = estimate(estimator, vae, batch)
    assert isinstance(value, Estimate), f"forward must return an Estimate, got {type(value).__name__}"
    per_datum = {"surrogate": value.surrogate, "bound": value.bound, **value.terms, **value.statistics}
    for name, tensor in per_datum.items():
        shape = tuple(tensor.shape)
        assert shape == (len(batch.x),), f"{name} must be of shape (B,) = ({len(batch.x)},), got {shape}"
    for name, tensor in {"bound": value.bound, **value.terms, **value.statistics}.items():
        assert not tensor.requires_grad, f"{name} must be detached"
    assert value.surrogate.requires_grad, "surrogate has no gradient"
    selection = estimator.selection
    assert selection in value.terms, f"selection={selection!r} is none of the terms: {', '.join(value.terms)}"
    if {"elbo", "reconstruction", "kl"} <= value.terms.keys():
        difference = (value.terms["elbo"] - value.terms["reconstruction"] + value.terms["kl"]).abs().max()
        assert difference < 1e-8, f"elbo must be reconstruction - kl, and differs by {difference:.2g} nats"
    if estimator.target == "elbo" and "elbo" in value.terms and not estimator.bias:
        difference = (value.terms["elbo"] - value.bound).abs().max()
        assert difference < 1e-8, f"bound differs from the term elbo by {difference:.2g} nats"
    return ", ".join(value.terms)


def _each_datum(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    noise = _noise_for(estimator, vae, batch)
    if any(spec.shared for spec in estimator.noise_spec(vae, batch).values()):
        raise DoesNotApplyError("the noise is shared by the batch")
    whole = estimator(vae, batch, noise)
    part = Batch(batch.x[:2], batch.indices[:2])
    apart = estimator(vae, part, {name: values[:, :2] for name, values in noise.items()})
    alike = torch.allclose(whole.surrogate[:2], apart.surrogate, rtol=1e-8, atol=1e-10)
    declared = Needs.WHOLE_BATCH in estimator.requires
    assert alike or declared, (
        "the surrogate of a datum depends on the others in the batch, so that processes which share a batch "
        "would train otherwise; add Needs.WHOLE_BATCH to requires, or average over samples, not over data"
    )
    assert not (alike and declared), "declares Needs.WHOLE_BATCH, and each datum is by itself"
    return "a share of the batch has the same values" if alike else "couples the batch, as declared"


def _noise(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    noise = _noise_for(estimator, vae, batch)
    before = torch.get_rng_state()
    first = estimator(vae, batch, noise).surrogate
    assert torch.equal(torch.get_rng_state(), before), (
        "draws from torch's global generator; take all noise from the argument, as noise_spec names it"
    )
    torch.manual_seed(4)
    assert torch.equal(first, estimator(vae, batch, noise).surrogate), "the same noise gives another value"
    other = _noise_for(estimator, vae, batch, step=1)
    for name in noise:
        changed = estimator(vae, batch, noise | {name: other[name]}).surrogate
        assert not torch.equal(first, changed), f"noise[{name!r}] is asked for and has no effect"
    return f"of {', '.join(noise)}" if noise else "needs none"


def _plain(estimator: Estimator) -> dict[str, Any]:
    """The plain values that an estimator keeps beside tensors."""
    kept = {name: vars(module) for name, module in estimator.named_modules()}
    return {
        f"{name}.{key}": deepcopy(value)
        for name, values in kept.items()
        for key, value in values.items()
        if not key.startswith("_")
        and isinstance(value, bool | int | float | str | list | tuple | dict | None)
    }


def _inputs(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    x = batch.x.clone()
    tensors = {f"vae.{name}": value.clone() for name, value in vae.state_dict().items()}
    own = {name: value.clone() for name, value in estimator.named_parameters()}
    own |= {name: value.clone() for name, value in estimator.named_buffers()}
    plain = _plain(estimator)
    estimate(estimator, vae, batch).surrogate.sum().backward()
    vae.zero_grad()
    assert torch.equal(x, batch.x), "changes the data"
    for name, value in vae.state_dict().items():
        assert torch.equal(value, tensors[f"vae.{name}"]), f"changes {name} of the model"
    now = dict(estimator.named_parameters()) | dict(estimator.named_buffers())
    changed = [name for name in own if not torch.equal(own[name], now[name])]
    changed += [name.lstrip(".") for name, value in _plain(estimator).items() if plain.get(name) != value]
    assert not changed, f"forward changes {', '.join(changed)}; what is learned belongs in update()"
    return "nothing is changed by a call"


def _func(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    draws = [_noise_for(estimator, vae, batch, step) for step in range(3)]
    if not draws[0]:
        raise DoesNotApplyError("uses no noise")
    objective = Objective(vae, estimator, by_outputs=False)
    none = torch.zeros((), dtype=torch.float64)
    try:
        _, at_once = objective.replicates(none, batch, stacked(draws), generative=True)
    except Exception as error:
        raise AssertionError(
            f"torch.func cannot vectorise it over replicates, as the probe does ({raised(error)}); use plain "
            "tensor operations, without in-place changes and without .item()"
        ) from error
    names = [name for name, _ in vae.named_parameters()]
    for replicate, draw in enumerate(draws):
        alone = gradient(vae, estimator(vae, batch, draw).surrogate)
        together = torch.cat([at_once[name][replicate].flatten() for name in names])
        difference = (alone - together).abs().max()
        assert difference <= 1e-8 * (1 + alone.abs().max()), (
            f"gradients vectorised by torch.func differ by {difference:.2g}"
        )
    return "gradients of replicates, vectorised, are those one by one"


def _single(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    noise = _noise_for(estimator, vae, batch)
    double = gradient(vae, estimator(vae, batch, noise).surrogate)
    small, short = deepcopy(vae).float(), deepcopy(estimator).float()
    value = short(small, Batch(batch.x.float(), batch.indices), {k: v.float() for k, v in noise.items()})
    check_close("surrogate", value.surrogate.detach(), estimator(vae, batch, noise).surrogate.detach())
    return check_close("gradient", gradient(small, value.surrogate), double)


def _device(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    noise = {name: values.to("meta") for name, values in _noise_for(estimator, vae, batch).items()}
    there = deepcopy(estimator).to("meta")
    inputs = Batch(batch.x.to("meta"), batch.indices.to("meta"))
    return check_device(lambda: there(deepcopy(vae).to("meta"), inputs, noise))


def _state(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae), _several(vae)
    for step in range(3):
        value = estimate(estimator, vae, batch, step)
        if value.statistics:
            estimator.update({name: each.detach().mean() for name, each in value.statistics.items()})
        if value.state:
            estimator.keep(batch.indices, value.state)
    fresh = _prepared(make, {}, vae)
    fresh.load_state_dict(estimator.state_dict())
    noise = _noise_for(estimator, vae, batch, step=7)
    same = torch.equal(estimator(vae, batch, noise).surrogate, fresh(vae, batch, noise).surrogate)
    assert same, (
        "what update() learned is not in state_dict(), so that a training which goes on from a checkpoint "
        "would differ; keep it in a buffer (register_buffer)"
    )
    return "comes back from a checkpoint" if estimator.state_dict() else "keeps none"


def _eval(make: Make, vae: VAE) -> str:
    estimator, batch = _prepared(make, {}, vae).eval(), _several(vae)
    with torch.no_grad():
        bound = estimate(estimator, vae, batch).bound
    assert bool(bound.isfinite().all()), "bound is not finite"
    return "evaluates held-out data"
