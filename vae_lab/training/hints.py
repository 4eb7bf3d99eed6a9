"""Overrides that make a run of one that is refused."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from vae_lab.estimators import MonteCarloEM, Reparameterized, ScoreFunction
from vae_lab.estimators.base import Estimator, Needs
from vae_lab.estimators.baselines import LeaveOneOut
from vae_lab.models import posteriors, priors
from vae_lab.models.networks import MLP
from vae_lab.training.offer import Offer

CLOSED_FORMS = {Needs.ANALYTIC_KL, Needs.ENTROPY}


class Proposal(NamedTuple):
    """An offer and the needs that it must meet, after some overrides.

    Args:
        words: The overrides, `key=value`.
        offer: The offer with them.
        requires: The needs with them.
    """

    words: tuple[str, ...]
    offer: Offer
    requires: frozenset[Needs]

    def after(self, words: str, requires: Iterable[Needs] | None = None, **changes: Any) -> "Proposal":
        """The proposal with further overrides."""
        needs = self.requires if requires is None else frozenset(requires)
        return Proposal((*self.words, *words.split()), replace(self.offer, **changes), needs)


def use(*alternatives: Sequence[str]) -> str:
    """The end of a sentence that recommends overrides, each alternative to be given as a whole.

    Example:
        >>> use(("model/posterior=gamma", "model/prior=exponential"), ("estimator=rloo",))
        '; use model/posterior=gamma model/prior=exponential or estimator=rloo.'
        >>> use()
        '.'
    """
    return f"; use {' or '.join(' '.join(words) for words in alternatives)}." if alternatives else "."


def alternatives(
    start: Proposal, changes: Sequence[str], key: str, is_met: Callable[[Proposal], bool]
) -> list[tuple[str, ...]]:
    """The smallest overrides with which all is met, at most one for each kind of change that they begin with.

    Args:
        start: What is refused.
        changes: Kinds of changes: `prior`, `posterior`, `latents`, `encoder`, `kl` or `estimator`.
        key: That of the estimator.
        is_met: Whether a run can be made.
    """
    proposals = (next(filter(is_met, _reachable(start, change, key)), None) for change in changes)
    return list(dict.fromkeys(each.words for each in proposals if each is not None))


def _reachable(start: Proposal, change: str, key: str) -> Iterator[Proposal]:
    """The proposals after one change of a kind, and after a further one of another kind."""
    once = list(_CHANGES[change](start, key))
    yield from once
    for other in ("kl", "prior", "latents", "encoder", "estimator"):
        if other != change and not {change, other} <= {"prior", "posterior", "latents"}:
            for each in once:
                yield from _CHANGES[other](each, key)


def _priors(start: Proposal, key: str) -> Iterator[Proposal]:
    if layers := list(start.offer.posterior.layer_dims):
        yield start.after(_layers("prior", layers), prior=priors.Hierarchical(sum(layers), layers, _network))
    for name, family in _PRIORS.items():
        yield start.after(f"model/prior={name}", prior=family(start.offer.latent_dim))


def _posteriors(start: Proposal, key: str) -> Iterator[Proposal]:
    if layers := list(start.offer.prior.layer_dims):
        hierarchical = posteriors.Hierarchical(sum(layers), layers, _network)
        yield start.after(_layers("posterior", layers), posterior=hierarchical)
    for name, family in _POSTERIORS.items():
        yield start.after(f"model/posterior={name}", posterior=family(start.offer.latent_dim))


def _layers(part: str, layers: Sequence[int]) -> str:
    """The overrides that give a part these layers."""
    return f"model/{part}=hierarchical model.{part}.layer_dims=[{','.join(map(str, layers))}]"


def _latents(start: Proposal, key: str) -> Iterator[Proposal]:
    dim = start.offer.latent_dim
    for name, prior in _PRIOR_OF.items():
        words = f"model/posterior={name} model/prior={prior}"
        yield start.after(words, posterior=_POSTERIORS[name](dim), prior=_PRIORS[prior](dim))


def _encoders(start: Proposal, key: str) -> Iterator[Proposal]:
    yield start.after("model/encoder=mlp", has_encoder=True, is_amortized=True)
    if key == "estimator":
        words = "model/encoder=none evaluation=marginal_likelihood"
        yield start.after(words, has_encoder=False, is_amortized=False)


def _kl(start: Proposal, key: str) -> Iterator[Proposal]:
    if start.requires & CLOSED_FORMS and Needs.WHOLE_BATCH not in start.requires:  # as with free bits
        yield start.after(f"{key}.kl=sampled", start.requires - CLOSED_FORMS)


def _estimators(start: Proposal, key: str) -> Iterator[Proposal]:
    if key != "estimator":
        return
    for words, estimator in _ESTIMATORS.items():
        yield start.after(words, estimator.requires)


_network = partial(MLP, hidden=[1], activation="tanh")
_PRIORS: dict[str, Callable[[int], Any]] = {
    "standard_normal": priors.StandardNormal,
    "exponential": priors.StandardExponential,
    "bernoulli": priors.Bernoulli,
    "cauchy": priors.StandardCauchy,
}
_POSTERIORS: dict[str, Callable[[int], Any]] = {
    "gaussian": posteriors.Gaussian,
    "bernoulli": posteriors.Bernoulli,
    "gamma": posteriors.Gamma,
}
_PRIOR_OF = {"gaussian": "standard_normal", "bernoulli": "bernoulli", "gamma": "exponential"}
_ESTIMATORS: dict[str, Estimator] = {
    "estimator=reparameterized": Reparameterized(),
    "estimator=reparameterized estimator.kl=sampled": Reparameterized(kl="sampled"),
    "estimator=rloo": ScoreFunction({"leave_one_out": LeaveOneOut()}, num_samples=4),
    "estimator=rloo estimator.kl=sampled": ScoreFunction(
        {"leave_one_out": LeaveOneOut()}, num_samples=4, kl="sampled"
    ),
    "estimator=monte_carlo_em evaluation=marginal_likelihood": MonteCarloEM(),
}
_CHANGES: dict[str, Callable[[Proposal, str], Iterator[Proposal]]] = {
    "prior": _priors,
    "posterior": _posteriors,
    "latents": _latents,
    "encoder": _encoders,
    "kl": _kl,
    "estimator": _estimators,
}
