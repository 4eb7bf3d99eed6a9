"""The measures of a trained model, each in nats per datum and with its errors."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.evaluation.bounds import bounds
from vae_lab.evaluation.exact import exact_log_likelihood, has_exact_log_likelihood
from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.evaluation.gap import Gap, split_gap
from vae_lab.evaluation.in_threads import in_threads
from vae_lab.evaluation.latent_space import latent_space
from vae_lab.inference.annealed import AnnealedImportanceSampling, annealed_log_likelihood
from vae_lab.inference.importance_sampling import CHUNK_ROWS
from vae_lab.inference.terms import Statistic, Term, difference, join, statistic
from vae_lab.inference.weights import Trust
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.likelihoods.support import is_on_levels
from vae_lab.models.vae import VAE, Batch, has_latents
from vae_lab.noise import EVALUATION_BLOCK, NoiseSource, random_subset
from vae_lab.numerics.streamed import subsample

CHUNK_DATA = 200  # data, at least


class Measured(NamedTuple):
    """Measurements of a model.

    Args:
        statistics: Means over the data, by name.
        terms: Measures of each datum, by name.
        kl_per_dimension: The mean KL term of each latent dimension, `(D,)`; None without a q.
        notes: Caveats.
    """

    statistics: dict[str, Statistic]
    terms: dict[str, Term]
    kl_per_dimension: Tensor | None
    notes: list[str]


@dataclass(frozen=True)
class Measures:
    """The choice of measurements of a trained model.

    Args:
        importance_samples: Each `K` of the importance-weighted bound, the largest giving the log-likelihood;
            empty for none.
        latent_space: Whether q over the data is compared with the prior.
        gap: For how many data, at random, the gap of the bound is split; 0 for none.
        fit: How q is fitted to them.
        annealed: Annealed importance sampling; None for none.
        annealed_data: For how many data, at random, and for as many that the model draws.
        chunk_rows: Decoder rows at a time: as many as stay in a CPU's cache, or fill a GPU.

    Raises:
        ValueError: If a number is out of its range.
    """

    importance_samples: list[int] = field(default_factory=lambda: [5000])
    latent_space: bool = True
    gap: int = 100
    fit: FitPosterior = field(default_factory=FitPosterior)
    annealed: AnnealedImportanceSampling | None = None
    annealed_data: int = 100
    chunk_rows: int = CHUNK_ROWS

    def __post_init__(self) -> None:
        for name, least in {"gap": 0, "annealed_data": 1, "chunk_rows": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if any(num_samples < 1 for num_samples in self.importance_samples):
            raise ValueError(f"importance_samples must be at least 1, got {min(self.importance_samples)}.")
        if self.gap and not self.importance_samples and self.annealed is None:
            raise ValueError("gap needs importance_samples, which are empty; set it to 0.")

    def _can_fit(self, vae: VAE) -> bool:
        """Whether a q of parameters of its own for each datum can be compared with the encoder's."""
        q = vae.posterior
        return bool(self.importance_samples) and vae.is_amortized and q.is_reparameterized and q.factorises

    @property
    def _numbers(self) -> list[int]:
        return sorted(set(self.importance_samples))

    def check(self, vae: GenerativeModel) -> None:
        """Raises `ValueError` if the model lacks what is asked, or nothing is left to be measured."""
        if not has_latents(vae):
            if self.annealed is not None:
                raise ValueError(
                    f"annealed is for a VAE, and {type(vae).__name__} has log p(x) itself; use "
                    "measures=default."
                )
            return
        if self.annealed and self.annealed.initial == "encoder" and not vae.is_amortized:
            raise ValueError(
                "annealed.initial=encoder needs a q(z|x) for every datum, and this model has none; use prior."
            )
        if self.annealed and vae.prior.support != "real":
            raise ValueError(
                f"annealed moves through the real numbers, and {type(vae.prior).__name__} has "
                f"{vae.prior.support} latent variables; use measures=default."
            )
        weighted = vae.has_encoder and bool(self.importance_samples)
        latent = vae.is_amortized and self.latent_space
        if not (weighted or latent or self.annealed or has_exact_log_likelihood(vae)):
            missing = "" if vae.has_encoder else ", and this model has no q(z|x)"
            raise ValueError(f"importance_samples leave nothing to measure{missing}; use measures=annealed.")

    def __call__(
        self,
        vae: GenerativeModel,
        batch: Batch,
        noise: NoiseSource,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Measured:
        """Measures the model on all data of a split.

        Args:
            vae: The model.
            batch: The data, with their numbers in the split.
            noise: Source of evaluation noise.
            progress: Called with the number of data that are done.
        """
        terms = self._terms(vae, batch, noise, progress)
        trust = self._trust(terms)
        if trust is not None:
            for name in ("log_likelihood", *self._whole):
                terms[name] = _without_error(terms[name], trust)
        statistics = {name: statistic(term) for name, term in terms.items() if name != "pareto_shape"}
        kl, gap = None, None
        if has_latents(vae):
            if self.latent_space and vae.is_amortized:
                others, kl = latent_space(vae, batch, noise)
                statistics |= others
            gap = self._gap(vae, batch, noise)
            of_some = ({} if gap is None else gap.terms) | self._annealed(vae, batch, noise, terms)
            statistics |= {name: statistic(term) for name, term in of_some.items()}
        judged = next((name for name in ("exact_log_likelihood", "log_likelihood") if name in terms), None)
        looked_at = subsample(batch.x)
        is_complete = not bool(looked_at.isnan().any())
        if judged and is_complete and vae.levels is not None and is_on_levels(looked_at, vae.levels):
            statistics["bits_per_dimension"] = _in_bits(statistics[judged], batch.x.shape[1:].numel())
        return Measured(statistics, terms, kl, _notes(vae, len(batch.x), statistics, trust, gap))

    @property
    def _whole(self) -> list[str]:
        """The bounds of so many samples that there is one group of them."""
        return [f"L_{num_samples}" for num_samples in self._numbers if 2 * num_samples > self._numbers[-1]]

    def _trust(self, terms: Mapping[str, Term]) -> Trust | None:
        if "pareto_shape" not in terms:
            return None
        shapes, sizes = (terms[name].values for name in ("pareto_shape", "effective_sample_size"))
        return Trust(shapes, sizes, self._numbers[-1])

    def _terms(
        self, vae: GenerativeModel, batch: Batch, noise: NoiseSource, progress: Callable[[int], None]
    ) -> dict[str, Term]:
        size = max(CHUNK_DATA, self.chunk_rows // EVALUATION_BLOCK)
        pieces = [slice(start, start + size) for start in range(0, len(batch.x), size)]
        parts = []
        for terms in in_threads(
            lambda piece: self._of_each(vae, batch.take(piece), noise), pieces, batch.x.device
        ):
            parts.append(terms)
            progress(min(size * len(parts), len(batch.x)))
        return join(parts)

    def _of_each(self, vae: GenerativeModel, batch: Batch, noise: NoiseSource) -> dict[str, Term]:
        if not has_latents(vae):
            with torch.no_grad():
                return {"log_likelihood": Term(vae.log_prob(batch.x).double())}
        terms = {}
        if self.importance_samples and vae.has_encoder:
            local = self.fit(vae, batch, noise, "test") if vae.is_per_datum else vae
            terms = bounds(local, batch, noise, self._numbers, self.chunk_rows)
        if has_exact_log_likelihood(vae):
            terms["exact_log_likelihood"] = Term(exact_log_likelihood(vae, batch.x))
        return terms

    def _gap(self, vae: VAE, batch: Batch, noise: NoiseSource) -> Gap | None:
        if not (self.gap and self._can_fit(vae)):
            return None
        some_data = batch.take(_random(batch, self.gap))
        gap = split_gap(vae, some_data, noise, self.fit, self._numbers[-1], self.chunk_rows)
        gap.terms["approximation_gap"] = _without_error(gap.terms["approximation_gap"], gap.trust)
        return gap

    def _annealed(
        self, vae: VAE, batch: Batch, noise: NoiseSource, terms: Mapping[str, Term]
    ) -> dict[str, Term]:
        if self.annealed is None:
            return {}
        chosen = _random(batch, self.annealed_data)
        estimates = annealed_log_likelihood(vae, batch.take(chosen), noise, self.annealed)
        if "log_likelihood" in terms:
            weighted = terms["log_likelihood"].of(chosen)
            estimates["annealing_gain"] = difference(estimates["log_likelihood_ais"], weighted)
        return estimates


def _without_error(term: Term, trust: Trust) -> Term:
    """The same, its error unknown where the weights cannot be trusted, if these are too many."""
    assert term.variances is not None
    if not trust.is_doubtful:
        return term
    return term._replace(variances=term.variances.masked_fill(trust.in_doubt, math.nan))


def _notes(
    vae: GenerativeModel,
    count: int,
    statistics: Mapping[str, Statistic],
    trust: Trust | None,
    gap: Gap | None,
) -> list[str]:
    notes = []
    if has_latents(vae) and trust is not None and "exact_log_likelihood" not in statistics:
        remedy = "measures=annealed tells" if vae.prior.support == "real" else "more samples tell"
        notes += trust.notes(f"log_likelihood may be too low there, its s.e. MC is unknown, and {remedy}")
    if gap is not None:
        of_fitted = gap.trust.notes("approximation_gap may be too small there")
        notes += [f"q fitted to {len(gap.trust.in_doubt):,} data: {note}" for note in of_fitted]
    if "mutual_information" in statistics and statistics["mutual_information"].value > math.log(count) - 1:
        notes.append(
            f"mutual_information is at most log {count:,} = {math.log(count):.3f} for so many data: so "
            "near to the limit, mutual_information may be too low and marginal_kl too high"
        )
    if "active_units" in statistics and statistics["active_units"].value == 0:
        notes.append("posterior collapse: no latent dimension is active")
    return notes


def _random(batch: Batch, count: int) -> Tensor:
    """The places of so many of the data, at random, the same ones each time."""
    return random_subset(len(batch.x), count, seed=0, purpose="evaluate some")


def _in_bits(log_likelihood: Statistic, dimensions: int) -> Statistic:
    value, *errors = (each / (math.log(2) * dimensions) for each in log_likelihood)
    return Statistic(-value, *errors)
