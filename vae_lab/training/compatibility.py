"""Estimators and probes made ready for a model and its data, or refused where their needs are not met."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from vae_lab.config.rules import Rule, check_rules
from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError
from vae_lab.estimators.base import Estimator, Needs
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.posteriors.discrete import Discrete, is_enumerable
from vae_lab.models.posteriors.gaussian import Gaussian
from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource, NoiseSpec
from vae_lab.numerics.memory import check_fits, fitting
from vae_lab.probe.settings import ProbeSettings
from vae_lab.training.hints import Proposal, alternatives, use
from vae_lab.training.offer import Offer

NEEDS_NETWORK = (
    "needs a network q(z|x), whose gradients are measured, which model/encoder=none or per_datum and models "
    "other than VAEs do not have; use another."
)

MISSING_HINT = "these data miss pixels (dataset.missing, or values that are not a number)"

PROBE_RULES = (  # on the model and the data of a probe
    Rule(lambda it: not it.vae.is_amortized, "{key}:", NEEDS_NETWORK),
    Rule(
        lambda it: it.vae.prior.needs_encoder,
        "{key}:",
        "takes the encoder's gradient through q(z|x) alone, and {vae.prior.__class__.__name__} has the "
        "encoder in p(z) too; use another model/prior.",
    ),
    Rule(
        lambda it: it.dataset.incomplete,
        "{key}:",
        f"measures gradients on complete data, and {MISSING_HINT}.",
    ),
)
PROBED_ESTIMATOR_RULES = (  # on the noise of an estimator
    Rule(
        lambda it: any(spec.shared for spec in it.specs.values()),
        "{key}:",
        "draws weights for a whole batch, and the probe measures datum by datum.",
    ),
    Rule(
        lambda it: not it.specs,
        "{key}:",
        "uses no noise, so that its gradient has no variance to measure.",
    ),
)


class Requirement(NamedTuple):
    """The test of a need, and the message of one that is not met.

    Args:
        is_met: Whether an offer meets it.
        lack: What there is instead, with the names of `_names` in braces.
        changes: Kinds of changes that may meet it, see `alternatives`.
        hint: Overrides that always meet it, in place of those.
    """

    is_met: Callable[[Offer], bool]
    lack: str
    changes: tuple[str, ...] = ()
    hint: str = ""


def _has_moments(posterior: Posterior) -> bool:
    return posterior.has_mean and posterior(torch.zeros(1, posterior.num_outputs)).std is not None


REQUIREMENTS = {  # the first that is not met is named
    Needs.BOUND: Requirement(
        lambda offer: offer.posterior is not None,
        "{model} has log p(x) itself",
        hint="estimator=maximum_likelihood",
    ),
    Needs.LOG_LIKELIHOOD: Requirement(
        lambda offer: offer.posterior is None, "a VAE has a bound", changes=("estimator",)
    ),
    Needs.NO_ENCODER: Requirement(
        lambda offer: not offer.has_encoder, "this model has one", changes=("encoder",)
    ),
    Needs.ENCODER: Requirement(
        lambda offer: offer.has_encoder, "model/encoder=none has none", changes=("encoder", "estimator")
    ),
    Needs.AMORTIZED_ENCODER: Requirement(
        lambda offer: offer.is_amortized,
        "model/encoder=per_datum knows the training data alone",
        changes=("encoder",),
    ),
    Needs.BINARY_LATENTS: Requirement(
        lambda offer: isinstance(offer.posterior, Discrete) and offer.posterior.support == "binary",
        "{posterior} has {support} ones",
        changes=("latents",),
    ),
    Needs.DISCRETE_LATENTS: Requirement(
        lambda offer: isinstance(offer.posterior, Discrete),
        "{posterior} has {support} ones",
        changes=("latents",),
    ),
    Needs.REAL_LATENTS: Requirement(
        lambda offer: offer.prior.support == "real",
        "{prior} has {prior_support} ones",
        changes=("latents",),
    ),
    Needs.FEW_VALUES: Requirement(
        lambda offer: is_enumerable(offer.posterior),
        "model.latent_dim={latent_dim} has more",
        changes=("estimator",),
    ),
    Needs.GAUSSIAN_POSTERIOR: Requirement(
        lambda offer: isinstance(offer.posterior, Gaussian),
        "{posterior} is none",
        changes=("posterior", "estimator"),
    ),
    Needs.REPARAMETERIZED_POSTERIOR: Requirement(
        lambda offer: offer.posterior.is_reparameterized, "{posterior} has none", changes=("estimator",)
    ),
    Needs.FACTORISED_POSTERIOR: Requirement(
        lambda offer: offer.posterior.factorises, "{posterior} is none", changes=("posterior",)
    ),
    Needs.POSTERIOR_MOMENTS: Requirement(
        lambda offer: _has_moments(offer.posterior),
        "{posterior} does not have both",
        changes=("posterior",),
    ),
    Needs.FACTORISED_PRIOR: Requirement(
        lambda offer: offer.prior.factorises, "{prior} is none", changes=("prior",)
    ),
    Needs.ANALYTIC_KL: Requirement(
        lambda offer: offer.posterior.has_analytic_kl(offer.prior),
        "there is none from {posterior} to {prior}",
        changes=("kl",),
    ),
    Needs.ENTROPY: Requirement(
        lambda offer: offer.posterior.has_entropy, "{posterior} has none", changes=("kl",)
    ),
    Needs.SAMPLED_LIKELIHOOD: Requirement(
        lambda offer: offer.likelihood.base_distribution is not None,
        "{likelihood} cannot",
        changes=("estimator",),
    ),
    Needs.PIXELS: Requirement(
        lambda offer: offer.likelihood.is_over_pixels, "{likelihood} is none", hint="estimator=iwae"
    ),
    Needs.COMPLETE_DATA: Requirement(
        lambda offer: not offer.is_incomplete, MISSING_HINT, hint="estimator=miwae"
    ),
    Needs.INDEPENDENT_SAMPLES: Requirement(
        lambda offer: offer.noise is None or offer.noise.independent_samples,
        "{noise} makes those of a datum dependent",
        hint="noise=independent",
    ),
    Needs.WHOLE_BATCH: Requirement(
        lambda offer: offer.processes == 1, "{processes} would share it", hint="trainer.devices=1"
    ),
    Needs.STATE_PER_DATUM: Requirement(
        lambda offer: offer.processes == 1, "{processes} would share it", hint="trainer.devices=1"
    ),
    Needs.WHOLE_DATA: Requirement(
        lambda offer: not offer.sees_parts,
        "a training step sees dataset.rows alone",
        hint="dataset.rows=null",
    ),
    Needs.UNPAIRED_NOISE: Requirement(
        lambda offer: offer.noise is None or not offer.noise.mirrors,
        "of {noise} each pair would come twice",
        hint="noise=independent",
    ),
}


def check_needs(estimator: Estimator, offer: Offer, key: str = "estimator") -> None:
    """Checks that an offer meets the needs of an estimator.

    Raises:
        ValueError: If not; the message names the first need that is not met, and what meets all.
    """
    need = _unmet(Proposal((), offer, estimator.requires))
    if need is not None:
        requirement = REQUIREMENTS[need]
        hints = (
            [tuple(requirement.hint.split())]
            if requirement.hint
            else hints_for(estimator, offer, key, requirement.changes)
        )
        raise ValueError(f"needs {need.value}, and {requirement.lack.format(**_names(offer))}{use(*hints)}")


def hints_for(
    estimator: Estimator, offer: Offer, key: str, changes: tuple[str, ...] = ("prior", "posterior")
) -> list[tuple[str, ...]]:
    """The overrides with which an estimator serves, one alternative for each kind of change."""
    start = Proposal((), offer, estimator.requires)
    hints = alternatives(start, changes, key, _is_met)
    if "estimator" not in changes and all(_replaces_estimator(words) for words in hints):
        return alternatives(start, ("latents",), key, _is_met) or hints
    return hints


def _replaces_estimator(words: tuple[str, ...]) -> bool:
    return any(word.startswith("estimator=") for word in words)


def _unmet(proposal: Proposal) -> Needs | None:
    """The first need that is not met."""
    needs = (need for need in REQUIREMENTS if need in proposal.requires)
    return next((need for need in needs if not REQUIREMENTS[need].is_met(proposal.offer)), None)


def _is_met(proposal: Proposal) -> bool:
    """Whether posterior and prior fit together, and every need is met."""
    offer = proposal.offer
    if offer.posterior is None or list(offer.posterior.layer_dims) != list(offer.prior.layer_dims):
        return False
    try:
        offer.posterior.check(offer.prior)
    except ValueError:
        return False
    return (offer.is_amortized or not offer.prior.needs_encoder) and _unmet(proposal) is None


def _names(offer: Offer) -> dict[str, Any]:
    """The values of an offer that messages name."""
    parts = ("posterior", "prior", "likelihood", "noise")
    return {part: type(getattr(offer, part)).__name__ for part in parts} | {
        "model": offer.model,
        "latent_dim": offer.latent_dim,
        "support": getattr(offer.posterior, "support", ""),
        "prior_support": getattr(offer.prior, "support", ""),
        "processes": f"{offer.processes} processes",
    }


def prepare_estimator(
    estimator: Estimator,
    key: str,
    vae: Any,
    noise: NoiseSource,
    dataset: SplitDataset,
    world_size: int = 1,
) -> None:
    """Checks that an estimator can serve the model with this noise, and makes what depends on the data.

    Raises:
        UserError: If it cannot; the message begins with `key`.
    """
    try:
        check_needs(estimator, Offer.of(vae).in_run(noise, dataset, world_size), key)
        estimator.check(vae)
        specs = estimator.noise_spec(vae, _one_datum(dataset))
        if not specs and type(noise) is not NoiseSource:
            raise ValueError(
                f"has no noise, on which {type(noise).__name__} would have an effect; use noise=independent."
            )
        _check_memory(specs, vae, dataset)
        _check_noise(specs, key, noise)
        with fitting("its networks"):
            estimator.prepare(vae, dataset.shape, len(dataset.data.train.x))
    except ValueError as error:
        raise UserError(f"{key}: {error}") from error


def prepare_probe(
    key: str,
    settings: ProbeSettings,
    keys: Mapping[str, str],
    estimators: Mapping[str, Estimator],
    vae: Any,
    noise: NoiseSource,
    dataset: SplitDataset,
) -> None:
    """Checks that a probe can measure the estimators, and prepares them.

    Raises:
        UserError: If it cannot; the message names the key, that of an estimator being its entry in `keys`.
    """
    check_rules(PROBE_RULES, key=key, vae=vae, dataset=dataset)
    try:
        settings.check(dataset)
    except ValueError as error:
        raise UserError(f"{key}.{error}") from error
    for name, estimator in estimators.items():
        prepare_estimator(estimator, keys[name], vae, noise, dataset)
        specs = estimator.noise_spec(vae, _one_datum(dataset))
        check_rules(PROBED_ESTIMATOR_RULES, key=keys[name], specs=specs)


def _check_noise(specs: Mapping[str, NoiseSpec], key: str, noise: NoiseSource) -> None:
    """Raises `ValueError` if the noise cannot be drawn."""
    try:
        noise.training(specs, purpose="check", step=0, batch_size=1)
    except ValueError as error:
        raise ValueError(f"{str(error).removesuffix('.')}{use(('noise=independent',))}") from error


def _check_memory(specs: Mapping[str, NoiseSpec], vae: Any, dataset: SplitDataset) -> None:
    """Raises `ValueError` if a batch's noise, or what the decoder makes of it, cannot fit into memory."""
    pixels = math.prod(dataset.shape) if vae.has_latents else 1
    for _, samples, event, is_shared in specs.values():
        rows = samples * (1 if is_shared else dataset.batch_size)
        size = max(math.prod(event), 1 if is_shared else pixels)
        check_fits(rows * size, f"num_samples={samples} with dataset.batch_size={dataset.batch_size}")


def _one_datum(dataset: SplitDataset) -> Batch:
    """A batch of one datum."""
    return Batch(dataset.data.train.x[:1], torch.zeros(1, dtype=torch.long))
