"""A likelihood held to what it declares."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from scipy import stats
from torch import Tensor

from vae_lab.checks.common import (
    P_VALUE,
    check_close,
    check_device,
    check_means,
    check_samples,
    integral,
)
from vae_lab.checks.finding import DoesNotApplyError, Finding, finding_of
from vae_lab.models.likelihoods.base import Likelihood

Make = Callable[[], Likelihood]
SHAPE = (2, 1, 3)  # two channels, so that parameters and channels cannot be confused
SAMPLES, TOLERANCE = 40_000, 1e-3
ENDS = {"unit_interval": (0.0, 1.0), "open_unit_interval": (0.0, 1.0), "real": (-math.inf, math.inf)}


def check_likelihood(make: Make) -> Iterator[Finding]:
    """Checks that p(x|z) is normalised, that samples, mean and mode are its own, and its conduct.

    Args:
        make: Makes one.

    Yields:
        The findings, as they come.
    """
    family = make()
    name = type(family).__name__
    if not family.is_over_pixels:
        yield Finding("normalised", name, "left out", "describes no pixels, so that nothing can be summed")
        return
    for check, test in {
        "shapes": _shapes,
        "normalised": _normalised,
        "samples": _samples,
        "mean": _mean,
        "mode": _mode,
        "support": _support,
        "gradients": _gradients,
        "single precision": _single,
        "device": _device,
    }.items():
        yield finding_of(check, name, partial(test, make))


def _outputs(family: Likelihood, samples: int = 2, size: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = family.output_shape(SHAPE)
    return 0.5 * torch.randn(samples, size, *shape, generator=generator, dtype=torch.float64)


def _values(family: Likelihood) -> Tensor:
    """Values that a pixel may have, `(V,)`."""
    if family.levels is not None:
        return torch.linspace(0, 1, family.levels, dtype=torch.float64)
    ends = ENDS[family.support]
    return torch.linspace(0.05, 0.95, 19, dtype=torch.float64) * (1 if ends[1] == 1 else 4)


def _distribution(make: Make) -> tuple[Likelihood, Any]:
    family = make().double()
    return family, family(_outputs(family))


def _by_value(p: Any, values: Tensor) -> Tensor:
    """log p of each pixel at each value, `(V, pixels)`."""
    rows = []
    for value in values.split(2000):
        x = value.reshape(-1, 1, *[1] * len(SHAPE)).expand(-1, 2, *SHAPE)
        rows += [p.log_prob_per_pixel(each).flatten() for each in x]
    return torch.stack(rows)


def _one_pixel(family: Likelihood, outputs: Tensor) -> Callable[[Tensor], Tensor]:
    """log p of every pixel as a function of values `(G,)`, `(G, pixels)`; the values are data of a batch."""

    def log_density(values: Tensor) -> Tensor:
        p: Any = family(outputs[:1, :1].expand(1, len(values), *outputs.shape[2:]))
        x = values.reshape(-1, *[1] * len(SHAPE)).expand(-1, *SHAPE)
        return p.log_prob_per_pixel(x)[0].flatten(1).detach()

    return log_density


def _shapes(make: Make) -> str:
    family, p = _distribution(make)
    x = _values(family)[0].expand(2, *SHAPE)
    for name, tensor in {
        "mean": p.mean,
        "mode": p.mode,
        "log_prob_per_pixel": p.log_prob_per_pixel(x),
    }.items():
        shape = tuple(tensor.expand(2, 2, *SHAPE).shape) if tensor.dim() == 5 else tuple(tensor.shape)
        assert shape == (2, 2, *SHAPE), (
            f"{name} must be of shape (K, B, *data_shape), got {tuple(tensor.shape)}"
        )
    whole = p.log_prob(x)
    assert tuple(whole.shape) == (2, 2), f"log_prob must be of shape (K, B), got {tuple(whole.shape)}"
    difference = (whole - p.log_prob_per_pixel(x).flatten(2).sum(-1)).abs().max()
    assert difference < 1e-8, (
        f"log_prob must be the sum of log_prob_per_pixel, and differs by {difference:.2g}"
    )
    return f"{family.num_outputs} numbers a pixel"


def _normalised(make: Make) -> str:
    family, p = _distribution(make)
    if family.levels is not None:
        totals = _by_value(p, _values(family)).exp().sum(0)
        kind = f"the sum over {family.levels} levels"
    else:
        totals = integral(_one_pixel(family, _outputs(family)), *ENDS[family.support])[1][-1]
        kind = "the integral"
    worst = float(totals[(totals - 1).abs().argmax()])
    assert abs(worst - 1) < TOLERANCE, (
        f"{kind} of exp(log_prob_per_pixel) is {worst:.5g}, and must be 1; see levels and support"
    )
    return f"{kind} is 1 within {abs(worst - 1):.0e}"


def _drawn(family: Likelihood, copies: int) -> Tensor:
    """Samples of the first datum's pixels, `(copies, pixels)`."""
    if family.base_distribution is None:
        raise DoesNotApplyError("base_distribution=None: no samples")
    generator = torch.Generator().manual_seed(5)
    draw = {"normal": torch.randn, "uniform": torch.rand}[family.base_distribution]
    eps = draw(1, copies, *SHAPE, generator=generator, dtype=torch.float64)
    p: Any = family(_outputs(family)[:1, :1].expand(1, copies, *family.output_shape(SHAPE)))
    sample: Tensor = p.sample(eps)
    assert tuple(sample.shape) == (1, copies, *SHAPE), (
        f"sample must be of the noise's shape, got {tuple(sample.shape)}"
    )
    return sample[0].flatten(1).detach()


def _samples(make: Make) -> str:
    family = make().double()
    drawn = _drawn(family, SAMPLES)
    if family.levels is None:
        x, cumulative, _ = integral(_one_pixel(family, _outputs(family)), *ENDS[family.support])
        p_value = check_samples("a pixel", drawn, x, cumulative)
        return f"Kolmogorov-Smirnov on {drawn.shape[1]} pixels, p at least {p_value:.2g}"
    values = _values(family)
    probabilities = _one_pixel(family, _outputs(family))(values).exp()
    places = (drawn * (family.levels - 1)).round().long()
    assert torch.allclose(places.double() / (family.levels - 1), drawn, atol=1e-6), (
        "samples lie between the levels"
    )
    least = 1.0
    for place in range(drawn.shape[1]):
        counts = torch.bincount(places[:, place], minlength=family.levels).double()
        expected = probabilities[:, place] / probabilities[:, place].sum() * SAMPLES
        kept = expected >= 5
        rest = [counts[~kept].sum(), expected[~kept].sum()]
        observed = [*counts[kept].tolist(), *([float(rest[0])] if rest[1] > 0 else [])]
        wanted = [*expected[kept].tolist(), *([float(rest[1])] if rest[1] > 0 else [])]
        p_value = float(stats.chisquare(observed, wanted).pvalue) if len(wanted) > 1 else 1.0
        assert not p_value < P_VALUE / drawn.shape[1], (
            f"samples do not follow exp(log_prob), p = {p_value:.1g}"
        )
        least = min(least, p_value)
    return f"chi-squared on {drawn.shape[1]} pixels, p at least {least:.2g}"


def _mean(make: Make) -> str:
    family = make().double()
    p: Any = family(_outputs(family)[:1, :1])
    z = check_means("mean", _drawn(family, SAMPLES), p.mean.expand(1, 1, *SHAPE).flatten().detach())
    return f"that of samples, within {z:.1f} standard errors"


def _mode(make: Make) -> str:
    family, p = _distribution(make)
    mode = p.mode.expand(2, 2, *SHAPE)
    for sample in range(2):
        at_mode = torch.stack([p.log_prob_per_pixel(mode[sample])[sample]])
        others = torch.stack(
            [p.log_prob_per_pixel(value.expand(2, *SHAPE))[sample] for value in _values(family)]
        )
        gap = float((others - at_mode).detach().max())
        assert not gap > 1e-6, f"another value is likelier than the mode, by {gap:.3g} nats"
    return "no value of a grid is likelier"


def _support(make: Make) -> str:
    family, p = _distribution(make)
    ends = [0.0, 1.0] if family.support == "unit_interval" else [1e-4, 1 - 1e-4]
    values = [*_values(family).tolist(), *(ends if family.support != "real" else [-5.0, 5.0])]
    for value in values:
        log_p = p.log_prob(torch.tensor(value, dtype=torch.float64).expand(2, *SHAPE))
        assert bool(log_p.isfinite().all()), (
            f"log_prob is not finite at {value:g}, which support={family.support} has"
        )
    return f"finite where support={family.support} says"


def _gradients(make: Make) -> str:
    family = make().double()
    outputs = _outputs(family).requires_grad_()
    p: Any = family(outputs)
    p.log_prob(_values(family)[-1].expand(2, *SHAPE)).sum().backward()
    finite = outputs.grad is not None and bool(outputs.grad.isfinite().all())
    assert finite, "gradients by the outputs are not finite"
    far = (40 * _outputs(family)).requires_grad_()
    distribution: Any = family(far)
    value = distribution.log_prob(_values(family)[0].expand(2, *SHAPE))
    assert bool(value.isfinite().all()), "log_prob is not finite for outputs of the order of 20"
    return "finite, for large outputs too"


def _single(make: Make) -> str:
    family = make().double()
    outputs, x = _outputs(family), _values(family)[-1].expand(2, *SHAPE)
    p, short = family(outputs), deepcopy(family).float()(outputs.float())
    return check_close("log_prob", short.log_prob(x.float()).detach(), p.log_prob(x).detach())


def _device(make: Make) -> str:
    family = make().double()
    outputs, x = _outputs(family).to("meta"), _values(family)[-1].expand(2, *SHAPE).to("meta")
    there: Any = deepcopy(family).to("meta")

    def call() -> None:
        p = there(outputs)
        p.log_prob(x)
        if family.base_distribution is not None:
            p.sample(torch.empty(2, 2, *SHAPE, dtype=torch.float64, device="meta"))

    return check_device(call)
