"""References against which the bias of an estimator is judged."""

from vae_lab.estimators.base import Estimator
from vae_lab.estimators.baselines.leave_one_out import LeaveOneOut
from vae_lab.estimators.dreg import DReG
from vae_lab.estimators.enumeration import Enumeration
from vae_lab.estimators.multi_sample import MultiSampleEstimator
from vae_lab.estimators.reparameterized import Reparameterized
from vae_lab.estimators.score_function import ScoreFunction
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.estimators.vimco import VIMCO
from vae_lab.models.posteriors.discrete import is_enumerable
from vae_lab.models.vae import VAE

MIN_SAMPLES = 16  # of a datum, where the score function is the reference


def reference(estimator: Estimator, vae: VAE) -> Estimator:
    """An unbiased estimator of the same target's gradient, the least noisy known for the model.

    Where a gradient passes through the samples of q that is the pathwise one, for importance-weighted bounds
    the doubly reparameterised one; elsewhere VIMCO for several samples, and for the evidence lower bound the
    sum over all values of z or, if they are too many, the score function with leave-one-out baselines. An
    estimator of another target names its own.
    """
    if (own := estimator.reference(vae)) is not None:
        return own
    if isinstance(estimator, MultiSampleEstimator):
        return _of_importance_weighted_bound(estimator.num_samples, vae)
    if isinstance(estimator, SingleSampleEstimator):
        return _of_elbo(vae, estimator.num_samples, estimator.kl, estimator.beta, estimator.free_bits)
    return estimator


def _of_importance_weighted_bound(num_samples: int, vae: VAE) -> Estimator:
    if vae.posterior.is_reparameterized:
        return DReG(num_samples)
    return VIMCO(num_samples) if num_samples > 1 else _of_elbo(vae, kl="sampled")


def _of_elbo(
    vae: VAE, num_samples: int = 1, kl: KL = "analytic", beta: float = 1.0, free_bits: float = 0.0
) -> Estimator:
    if vae.posterior.is_reparameterized:
        return Reparameterized(num_samples, kl, beta, free_bits=free_bits)
    if is_enumerable(vae.posterior):
        return Enumeration(kl, beta, free_bits=free_bits)
    baseline, num_samples = {"leave_one_out": LeaveOneOut()}, max(num_samples, MIN_SAMPLES)
    return ScoreFunction(baseline, num_samples, kl, beta, free_bits=free_bits)
