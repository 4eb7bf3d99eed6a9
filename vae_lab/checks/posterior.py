"""A posterior family held to what it declares."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vae_lab.checks.common import check_close, check_device, check_means, check_samples, integral
from vae_lab.checks.finding import DoesNotApplyError, Finding, finding_of
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.posteriors.discrete import Discrete, is_enumerable
from vae_lab.models.priors import StandardNormal

Make = Callable[[], Posterior]
SAMPLES = 100_000
ENDS = {"real": (-float("inf"), float("inf")), "positive": (0.0, float("inf"))}


def check_posterior(make: Callable[..., Posterior], latent_dim: int = 3) -> Iterator[Finding]:
    """Checks that samples, entropy, moments and KL of q(z|x) are those of its density, and its gradients.

    Args:
        make: Makes one with a `latent_dim`.
        latent_dim: D.

    Yields:
        The findings, as they come.
    """
    family = make(latent_dim=latent_dim)
    if family.layer_dims:
        yield Finding("samples", type(family).__name__, "left out", "has several layers")
        return
    for check, test in {
        "shapes": _shapes,
        "samples": _samples,
        "entropy": _entropy,
        "moments": _moments,
        "KL to N(0, I)": _kl,
        "gradient through samples": _pathwise,
        "cut from the graph": _detach,
        "single precision": _single,
        "device": _device,
    }.items():
        yield finding_of(check, type(family).__name__, partial(test, partial(make, latent_dim=latent_dim)))


def _outputs(family: Posterior, size: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn(size, family.num_outputs, generator=generator, dtype=torch.float64)
    return 0.4 * outputs


def _eps(family: Posterior, dimensions: int, samples: int = SAMPLES, size: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    draw = {"normal": torch.randn, "uniform": torch.rand}[family.base_distribution]
    return draw(samples, size, dimensions, generator=generator, dtype=torch.float64)


def _given(make: Make) -> tuple[Posterior, Any, int]:
    torch.manual_seed(0)
    family = make().double()
    q: Any = family(_outputs(family))
    return family, q, q.mean.shape[-1]


def _drawn(make: Make) -> tuple[Posterior, Any, Tensor]:
    """The family, its distribution and samples `(N, D)`."""
    family, q, dimensions = _given(make)
    with torch.no_grad():
        return family, q, q.transform(_eps(family, dimensions))[:, 0]


def _shapes(make: Make) -> str:
    torch.manual_seed(0)
    family = make().double()
    q: Any = family(_outputs(family, size=2))
    dimensions = q.mean.shape[-1]
    z = q.transform(_eps(family, dimensions, samples=4, size=2))
    assert tuple(z.shape) == (4, 2, dimensions), f"transform must give (K, B, D), got {tuple(z.shape)}"
    shape = tuple(q.log_prob(z).shape)
    assert shape == (4, 2), f"log_prob must be of shape (K, B), got {shape}"
    if family.has_terms:
        difference = (q.log_prob_per_dimension(z).sum(-1) - q.log_prob(z)).abs().max()
        assert difference < 1e-8, f"log_prob must be the sum over dimensions, and differs by {difference:.2g}"
    if family.has_entropy:
        assert tuple(q.entropy().shape) == (2,), (
            f"entropy must be of shape (B,), got {tuple(q.entropy().shape)}"
        )
    return ", ".join(f"{name}: {count}" for name, count in family.outputs.items())


def _samples(make: Make) -> str:
    family, q, z = _drawn(make)
    if isinstance(family, Discrete):
        return _frequencies(family, q, z)
    if family.factorises and family.support == "real":

        def log_density(values: Tensor) -> Tensor:
            at = values.reshape(-1, 1, 1).expand(-1, 1, z.shape[1])
            return q.log_prob_per_dimension(at)[:, 0].detach()

        x, cumulative, _ = integral(log_density, *ENDS["real"])
        total = float(cumulative[-1][(cumulative[-1] - 1).abs().argmax()])
        assert abs(total - 1) < 2e-3, (
            f"the integral of exp(log_prob) over a dimension is {total:.5g}, and must be 1"
        )
        p_value = check_samples("a dimension", z, x, cumulative)
        return f"density has the integral 1; Kolmogorov-Smirnov, p at least {p_value:.2g}"
    low, high = z.quantile(torch.tensor([0.3, 0.7], dtype=z.dtype), dim=0)
    centre, scale = (low + high) / 2, (high - low) / 4
    inside = ((z - centre).abs() < 2 * scale).all(-1)
    volume = (4 * scale).log().sum()
    weight = torch.where(inside, (-volume - q.log_prob(z.unsqueeze(1))[:, 0]).exp(), 0.0).detach()
    error = check_means(
        "the integral of exp(log_prob) by its own samples", weight.unsqueeze(-1), torch.ones(1)
    )
    return f"density and samples agree in a box, within {error:.1f} standard errors"


def _frequencies(family: Discrete, q: Any, z: Tensor) -> str:
    if not is_enumerable(family):
        raise DoesNotApplyError("has too many values")
    states = family.states().double()
    log_q = q.log_prob(states.unsqueeze(1))[:, 0].detach()
    total = float(log_q.exp().sum())
    assert abs(total - 1) < 1e-8, f"the probabilities of all values add up to {total:.5g}, and must to 1"
    same = (z.unsqueeze(1) == states).all(-1).double()
    assert bool((same.sum(1) == 1).all()), "a sample is none of the values of states()"
    error = check_means("the probability of a value", same, log_q.exp())
    return f"frequencies of {len(states)} values, within {error:.1f} standard errors"


def _entropy(make: Make) -> str:
    family, q, z = _drawn(make)
    if not family.has_entropy:
        raise DoesNotApplyError("has_entropy=False")
    error = check_means("entropy", -q.log_prob(z.unsqueeze(1)).detach(), q.entropy().detach())
    return f"that of samples, within {error:.1f} standard errors"


def _moments(make: Make) -> str:
    family, q, z = _drawn(make)
    if not family.has_mean:
        raise DoesNotApplyError("has_mean=False")
    error = check_means("mean", z, q.mean[0].detach())
    if q.std is None:
        return f"mean that of samples, within {error:.1f} standard errors; std=None"
    squares = (z - q.mean[0].detach()).square()
    error = max(error, check_means("std^2", squares, q.std[0].detach().square()))
    return f"mean and std those of samples, within {error:.1f} standard errors"


def _kl(make: Make) -> str:
    family, q, z = _drawn(make)
    prior = StandardNormal(z.shape[1])
    if not family.has_analytic_kl(prior):
        raise DoesNotApplyError("has no closed form")
    values = (q.log_prob(z.unsqueeze(1)) - prior.log_prob(z.unsqueeze(1))).detach()
    error = check_means("kl", values, q.kl(prior).sum(-1).detach())
    return f"that of samples, within {error:.1f} standard errors"


def _pathwise(make: Make) -> str:
    """The gradient of E[cos z] by the outputs: through the samples, and by the score."""
    torch.manual_seed(0)
    family = make().double()
    if not family.is_reparameterized:
        raise DoesNotApplyError("is_reparameterized=False")
    blocks = []
    for block in range(40):
        outputs = _outputs(family).requires_grad_()
        q: Any = family(outputs)
        generator = torch.Generator().manual_seed(block)
        draw = {"normal": torch.randn, "uniform": torch.rand}[family.base_distribution]
        z = q.transform(draw(4000, 1, q.mean.shape[-1], generator=generator, dtype=torch.float64))
        through = torch.autograd.grad(z.cos().sum(-1).mean(), outputs, retain_graph=True)[0]
        fixed = z.detach()
        signal = fixed.cos().sum(-1)
        score = torch.autograd.grad(((signal - signal.mean()) * q.log_prob(fixed)).mean(), outputs)[0]
        blocks.append((through - score)[0])
    differences = torch.stack(blocks)
    error = differences.std(0) / len(differences) ** 0.5
    z_scores = differences.mean(0).abs() / error.clamp_min(1e-12)
    worst = float(z_scores.max())
    assert worst < 6, (
        f"the gradient of E[cos z] through samples is {worst:.1f} standard errors from that by the score; is "
        " transform() the function of the outputs that log_prob() has?"
    )
    return f"that by the score, within {worst:.1f} standard errors"


def _detach(make: Make) -> str:
    family = make().double()
    outputs = _outputs(family).requires_grad_()
    q: Any = family(outputs).detach()
    z = torch.zeros(1, 1, q.mean.shape[-1], dtype=torch.float64)
    assert not q.log_prob(z).requires_grad, "detach() leaves a gradient by the encoder's outputs"
    return "by detach()"


def _single(make: Make) -> str:
    torch.manual_seed(0)
    family = make().double()
    outputs = _outputs(family)
    q, short = family(outputs), deepcopy(family).float()(outputs.float())
    eps = _eps(family, q.mean.shape[-1], samples=50)
    z = q.transform(eps).detach()
    return check_close("log_prob", short.log_prob(z.float()).detach(), q.log_prob(z).detach())


def _device(make: Make) -> str:
    torch.manual_seed(0)
    family = make().double()
    outputs, dimensions = _outputs(family), family(_outputs(family)).mean.shape[-1]
    there: Any = deepcopy(family).to("meta")
    eps = _eps(family, dimensions, samples=4).to("meta")

    def call() -> None:
        q = there(outputs.to("meta"))
        q.log_prob(q.transform(eps))

    return check_device(call)
