"""An estimator of a user's own, judged: planted faults are found, and what is sound passes."""

from collections import Counter

import pytest
import torch

from vae_lab import Estimate, Needs, SingleSampleEstimator
from vae_lab.checks.cases import CASES
from vae_lab.checks.estimator import (
    BIAS,
    BOUND,
    DATUM,
    DEVICE,
    FUNC,
    GRADIENT,
    INPUTS,
    NOISE,
    PAIRS,
    SINGLE,
    STATE,
    TERMS,
    check_estimator,
)
from vae_lab.estimators import DReG, Enumeration, Reparameterized, ScoreFunction, StraightThrough
from vae_lab.estimators.baselines import BatchMean, LeaveOneOut


class Pathwise(SingleSampleEstimator):
    """The pathwise gradient, in the form in which a user would write it."""

    requires = SingleSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def forward(self, vae, batch, noise):
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        return self.estimate(terms, terms.bound(self.weight))

    def estimate(self, terms, surrogate):
        return Estimate(surrogate, terms.bound(self.weight).detach(), terms.report(self.weight))


class Score(Pathwise):
    """REINFORCE, with the mean over all samples of the datum as its baseline."""

    requires = SingleSampleEstimator.requires

    def forward(self, vae, batch, noise):
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        signal = terms.objective(self.weight)
        log_q = self.log_q(q, z)
        score = ((signal.detach() - self.baseline(signal.detach())) * log_q).mean(0)
        return self.estimate(terms, score + terms.bound(self.weight))

    def log_q(self, q, z):
        return q.log_prob(z)

    def baseline(self, signal):
        return 0.0


class OwnSample(Score):
    """A baseline that has seen its sample, which takes away the fraction 1/K of the gradient."""

    def baseline(self, signal):
        return signal.mean(0)


class Others(Score):
    """The same without its own sample, which is right."""

    requires = Score.requires | {Needs.INDEPENDENT_SAMPLES}

    def baseline(self, signal):
        return (signal.sum(0) - signal) / (len(signal) - 1)


class Undeclared(Others):
    """The same, which hides that dependent samples would bias it."""

    requires = Score.requires


class SumOverSamples(Pathwise):
    """A factor 1/K that is dropped."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=self.num_samples * value.surrogate)


class ForgottenDetach(Score):
    """Samples through which a gradient passes, beside the score."""

    def forward(self, vae, batch, noise):
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        signal = terms.objective(self.weight)
        return self.estimate(
            terms, (signal.detach() * q.log_prob(z.detach())).mean(0) + terms.bound(self.weight)
        )


class WrongSign(Pathwise):
    """A sign that is wrong in one form of the KL term alone."""

    def forward(self, vae, batch, noise):
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        if self.kl == "entropy":
            terms = terms._replace(exact_kl=-terms.exact_kl, penalty=-terms.penalty)
        return self.estimate(terms, terms.bound(self.weight))


class OnePerCent(Pathwise):
    """A bias of one per cent of the encoder's gradient."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=1.01 * value.surrogate)


class OverBatch(Pathwise):
    """The mean over the batch in the place of each datum's value."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=value.surrogate.mean().expand(len(batch.x)))


class GlobalNoise(Pathwise):
    """Noise that is drawn, and not given."""

    def forward(self, vae, batch, noise):
        return super().forward(vae, batch, {name: torch.randn_like(eps) for name, eps in noise.items()})


class Unsaved(Pathwise):
    """A running mean that no checkpoint has; it learns in `forward`, too."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.mean = 0.0

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=value.surrogate + self.mean, statistics={"mean": value.bound})

    def update(self, means):
        self.mean = float(means["mean"])


class LearnsInForward(Unsaved):
    """The same, where it does not belong."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        self.mean = float(value.bound.mean())
        return value


class NotVectorised(Pathwise):
    """A value of a tensor that is looked at."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=value.surrogate * (1.0 if value.surrogate[0].item() < 1e9 else 2.0))


class OnCPU(Pathwise):
    """A tensor that lies on the CPU, whatever the model's device."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=value.surrogate + torch.zeros(len(batch.x)))


class Double(Pathwise):
    """A result in float64, whatever the model's type."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(surrogate=value.surrogate.double())


class OtherBound(Pathwise):
    """A bound that is 2 % off."""

    def forward(self, vae, batch, noise):
        value = super().forward(vae, batch, noise)
        return value._replace(
            bound=1.02 * value.bound, terms={"reconstruction": value.bound, "elbo": 1.02 * value.bound}
        )


class NoSelection(Pathwise):
    """Models could not be selected by a term that is not reported."""

    selection = "importance_weighted_bound"


class FalselyBiased(Pathwise):
    """A bias that is declared and not there."""

    bias = "for no reason"


class FalselyCoupled(Pathwise):
    """A need that is declared and not there."""

    requires = Pathwise.requires | {Needs.WHOLE_BATCH}


class Raising(Pathwise):
    """A mistake in its code."""

    def forward(self, vae, batch, noise):
        return super().forward(vae, batch, noise["posteriors"])


def findings(make, *variants, models=("nonlinear",)):
    return list(check_estimator(make, variants, models))


def failed(found):
    return Counter(each.check for each in found if each.status == "failed")


SOUND = {
    "pathwise": lambda **changes: Pathwise(**changes),
    "score function": lambda **changes: Score(**changes),
    "others as baseline": lambda **changes: Others(**{"num_samples": 4, **changes}),
    "reparameterized": lambda **changes: Reparameterized(**changes),
    "dreg": lambda **changes: DReG(**changes),
    "enumeration": lambda **changes: Enumeration(**changes),
    "batch mean": lambda **changes: ScoreFunction({"batch_mean": BatchMean()}, **changes),
    "rloo": lambda **changes: ScoreFunction(
        {"leave_one_out": LeaveOneOut()}, **{"num_samples": 4, **changes}
    ),
    "straight through": lambda **changes: StraightThrough(**changes),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOUND)
def test_sound_estimators_pass(name):
    found = findings(SOUND[name], models=CASES)
    assert not failed(found), [each for each in found if each.status == "failed"]
    assert sum(each.status == "passed" for each in found) > 10


@pytest.mark.parametrize(
    ("make", "checks"),
    [
        (OwnSample, {GRADIENT}),
        (Undeclared, {PAIRS}),
        (SumOverSamples, {GRADIENT}),
        (ForgottenDetach, {GRADIENT}),
        (OnePerCent, {GRADIENT}),
        (OverBatch, {DATUM}),
        (GlobalNoise, {NOISE}),
        (Unsaved, {STATE, INPUTS}),
        (LearnsInForward, {INPUTS}),
        (NotVectorised, {FUNC}),
        (OnCPU, {DEVICE, SINGLE}),
        (Double, {SINGLE}),
        (OtherBound, {BOUND}),
        (NoSelection, {TERMS}),
        (FalselyBiased, {BIAS}),
        (FalselyCoupled, {DATUM}),
        (Raising, {GRADIENT}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_planted_fault_is_found(make, checks):
    def made(**changes):
        return make(
            **{"num_samples": 4 if issubclass(make, Score) or make is SumOverSamples else 1, **changes}
        )

    found = findings(made)
    assert checks & failed(found).keys(), failed(found)
    assert all(each.detail for each in found)


def test_a_sign_in_one_form_of_the_kl_term():
    found = findings(WrongSign, {"kl": "sampled"}, {"kl": "entropy"})
    wrong = [each for each in found if each.status == "failed"]
    assert {each.check for each in wrong} == {GRADIENT, BOUND}
    assert all("kl=entropy" in each.subject for each in wrong)


def test_the_power_is_stated_and_holds():
    """A bias of one per cent is found, and the page says that it would be."""
    sound = [each for each in findings(Pathwise) if each.check == GRADIENT]
    assert all(each.comparison.detectable < 0.015 for each in sound)
    biased = next(each for each in findings(OnePerCent) if each.check == GRADIENT)
    assert biased.status == "failed"
    assert biased.comparison.ratios["encoder"] == pytest.approx(1.01, abs=0.005)


def test_a_mistake_names_its_line():
    first = next(each for each in findings(Raising) if each.status == "failed")
    assert first.detail.startswith("raised")
    assert "test_estimator.py:" in first.detail
