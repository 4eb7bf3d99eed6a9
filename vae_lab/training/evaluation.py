"""Evaluation of a model, along training and at its end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vae_lab.config.rules import Rule, check_rules
from vae_lab.estimators.base import Estimator
from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.evaluation.marginal_likelihood import GOOD_BELOW, WARN_ABOVE, MarginalLikelihood
from vae_lab.inference.importance_sampling import judged_log_likelihood
from vae_lab.inference.weights import doubts, tolerated
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.observed import of_observed
from vae_lab.models.vae import VAE, Batch, has_latents
from vae_lab.noise import NoiseSource

IN_DOUBT = "weights_in_doubt"  # the share of the data whose importance weights cannot be trusted
PREDICTIVE_SAMPLES = 100  # of q(z|x), over which predictions are averaged

NEEDS_Q = "needs q(z|x), and model/encoder=none has none; use evaluation=marginal_likelihood."
NEEDS_P = "needs a model p(x, z), and an autoencoder is none; leave it out."


def _asks_for(name: str) -> Callable[[Any], bool]:
    return lambda it: bool(getattr(it.evaluation, name))


DENSITY_RULES = tuple(  # on the evaluation of a model that has log p(x)
    Rule(
        _asks_for(name),
        f"evaluation.{name}",
        "is for a VAE, and {model.__class__.__name__} has log p(x) itself; use evaluation=exact.",
    )
    for name in ("importance_samples", "amortization_gap", "marginal_likelihood")
)
VAE_RULES = (  # on the evaluation of a VAE that is trained by an estimator
    Rule(
        lambda it: not it.vae.has_encoder and it.evaluation.importance_samples is not None,
        "evaluation.importance_samples",
        NEEDS_Q,
    ),
    Rule(
        lambda it: not it.vae.has_encoder and it.evaluation.amortization_gap,
        "evaluation.amortization_gap",
        NEEDS_Q,
    ),
    Rule(
        lambda it: not it.vae.has_encoder and it.evaluation.marginal_likelihood is None,
        "evaluation.marginal_likelihood",
        "is null, and a model without an encoder has no other measure; use evaluation=marginal_likelihood.",
    ),
    Rule(
        lambda it: it.vae.is_per_datum and it.evaluation.amortization_gap,
        "evaluation.amortization_gap",
        "compares an encoder with q fitted to each datum, and model/encoder=per_datum is fitted itself; set "
        "it to false.",
    ),
    Rule(
        lambda it: it.estimator.has_weight_prior and it.evaluation.amortization_gap,
        "evaluation.amortization_gap",
        "needs one decoder for both bounds, and this estimator draws its weights; set it to false.",
    ),
    Rule(
        lambda it: not it.estimator.has_density and it.evaluation.amortization_gap,
        "evaluation.amortization_gap",
        NEEDS_P,
    ),
    Rule(
        lambda it: not it.estimator.has_density and it.evaluation.marginal_likelihood is not None,
        "evaluation.marginal_likelihood",
        NEEDS_P,
    ),
    Rule(
        lambda it: not it.estimator.has_density and it.vae.is_per_datum,
        "evaluation.fit",
        "needs a bound, and an autoencoder has none; use another encoder.",
    ),
    Rule(
        lambda it: it.evaluation.marginal_likelihood is not None and it.vae.prior.support != "real",
        "evaluation.marginal_likelihood",
        "moves through the real numbers, and {vae.prior.__class__.__name__} has {vae.prior.support} latent "
        "variables; set it to null.",
    ),
    Rule(
        lambda it: (
            it.evaluation.marginal_likelihood is not None
            and it.evaluation.marginal_likelihood.num_samples < it.fewest_samples
        ),
        "evaluation.marginal_likelihood.num_samples",
        "must be at least {fewest_samples} for a density over {vae.latent_dim} latent dimensions, got "
        "{evaluation.marginal_likelihood.num_samples}.",
    ),
    Rule(
        lambda it: (
            (it.vae.is_per_datum or it.evaluation.amortization_gap)
            and not it.vae.posterior.is_reparameterized
        ),
        "evaluation.fit",
        "needs gradients through samples of q, and {vae.posterior.__class__.__name__} has none.",
    ),
)


@dataclass(frozen=True)
class Evaluation:
    """The measures, each a term per datum in nats.

    A model without an encoder has no bound, and is measured by `marginal_likelihood` alone. If q(z|x) is not
    amortised, it is fitted to whatever data are evaluated.

    Args:
        importance_samples: `K` of the importance-weighted log-likelihood of the test, `log_likelihood`, at
            least 1; None for none.
        test_curve: Whether the test part is followed along training too, beside validation.
        train_curve: How many training data are followed, with the weights of the moment.
        amortization_gap: Whether the test has the bound with q fitted to each datum less that with the
            encoder's q, `amortization_gap`.
        marginal_likelihood: Estimator of log p(x) from posterior samples, `log_likelihood_hmc`, which is
            followed along training too; None for none.
        fit: How q is fitted to a datum.

    Raises:
        ValueError: If a number is out of its range.
    """

    importance_samples: int | None = 100
    test_curve: bool = False
    train_curve: int = 0
    amortization_gap: bool = False
    marginal_likelihood: MarginalLikelihood | None = None
    fit: FitPosterior = field(default_factory=FitPosterior)

    def __post_init__(self) -> None:
        if self.importance_samples is not None and self.importance_samples < 1:
            raise ValueError(f"importance_samples must be at least 1, got {self.importance_samples}.")
        if self.train_curve < 0:
            raise ValueError(f"train_curve must be at least 0, got {self.train_curve}.")

    def check(self, model: GenerativeModel, estimator: Estimator) -> None:
        """Checks that the model has what the measures need.

        Raises:
            UserError: If not.
        """
        if not has_latents(model):
            check_rules(DENSITY_RULES, evaluation=self, model=model)
            return
        check_rules(
            VAE_RULES, evaluation=self, vae=model, estimator=estimator, fewest_samples=2 * model.latent_dim
        )

    def notes(self, vae: GenerativeModel, estimator: Estimator) -> list[str]:
        """Caveats of the numbers."""
        notes: list[str] = []
        if not has_latents(vae):
            return notes
        if self.marginal_likelihood is not None and vae.latent_dim > WARN_ABOVE:
            notes.append(
                f"log_likelihood_hmc is good below about {GOOD_BELOW} latent dimensions, and there are "
                f"{vae.latent_dim}"
            )
        if (self.amortization_gap or vae.is_per_datum) and estimator.target != "elbo":
            notes.append("q is fitted to a datum by the evidence lower bound with beta = 1")
        if estimator.has_weight_prior:
            notes.append("log_likelihood is that of the mean weights, elbo an average over weights")
        return notes

    def doubts(self, metrics: Mapping[str, float]) -> list[str]:
        """Notes on the test's log-likelihood, given the means of what was measured."""
        if self.importance_samples is None or not (
            metrics.get(IN_DOUBT, 0.0) > tolerated(self.importance_samples)
        ):
            return []
        consequence = "test/log_likelihood may be too low there; see vae-lab evaluate"
        size = metrics["effective_sample_size"]
        return [doubts(metrics[IN_DOUBT], size, self.importance_samples, consequence)]

    def with_posterior(self, vae: Any, batch: Batch, noise: NoiseSource, purpose: str) -> Any:
        """The model with a q(z|x) that serves the data: itself; with q fitted if it is not amortised; or that
        of the observed pixels, where some are NaN.
        """
        if vae.is_per_datum:
            return self.fit(vae, batch, noise, purpose)
        return of_observed(vae) if vae.has_latents and bool(batch.x.isnan().any()) else vae

    def along_training(
        self, vae: GenerativeModel, estimator: Estimator, batch: Batch, noise: NoiseSource, purpose: str
    ) -> dict[str, Tensor]:
        """The estimator's terms and the marginal likelihood, for a model whose q serves the data."""
        if not has_latents(vae):
            return {"log_likelihood": vae.log_prob(batch.x).double()}
        terms = self._bound(vae, estimator, batch, noise, purpose) if vae.has_encoder else {}
        return terms | self._marginal_likelihood(vae, batch, noise.of_part(purpose))

    def at_the_end(
        self, vae: GenerativeModel, estimator: Estimator, batch: Batch, noise: NoiseSource
    ) -> dict[str, Tensor]:
        """Measures of the test part: those along training, and those that take longer."""
        terms = self.along_training(vae, estimator, batch, noise, "test")
        if not has_latents(vae):
            return terms
        if self.importance_samples is not None and estimator.has_density:
            terms["log_likelihood"], trust = judged_log_likelihood(vae, batch, noise, self.importance_samples)
            terms["effective_sample_size"] = trust.effective_sample_size
            terms[IN_DOUBT] = trust.in_doubt.double()
        if self.amortization_gap:
            fitted = self._bound(self.fit(vae, batch, noise, "test"), estimator, batch, noise, "test")
            terms["amortization_gap"] = fitted["elbo"] - terms["elbo"]
        return terms

    def _bound(
        self, vae: VAE, estimator: Estimator, batch: Batch, noise: NoiseSource, purpose: str
    ) -> dict[str, Tensor]:
        draws = batch.draw(noise, estimator.noise_spec(vae, batch), purpose)
        terms = dict(estimator(vae, batch, draws).terms)
        if vae.likelihood.is_over_pixels:
            return terms
        eps = batch.draw(noise, vae.posterior_noise(PREDICTIVE_SAMPLES), f"predict {purpose}")
        z = vae.encode(batch).transform(eps["posterior"])
        return terms | vae.likelihood.measures(vae.decoder_outputs(z), batch.x)

    def _marginal_likelihood(self, vae: VAE, batch: Batch, noise: NoiseSource) -> dict[str, Tensor]:
        if self.marginal_likelihood is None:
            return {}
        if (most := self.marginal_likelihood.num_data) is not None:
            batch = batch.take(batch.indices < most)
        return {"log_likelihood_hmc": self.marginal_likelihood(vae, batch, noise)}
