"""Families of likelihoods p(x|z)."""

from vae_lab.models.likelihoods.bernoulli import Bernoulli
from vae_lab.models.likelihoods.beta import Beta
from vae_lab.models.likelihoods.categorical import Categorical
from vae_lab.models.likelihoods.continuous_bernoulli import ContinuousBernoulli
from vae_lab.models.likelihoods.cost import Cost
from vae_lab.models.likelihoods.discretized_logistic import DiscretizedLogistic
from vae_lab.models.likelihoods.gaussian import FixedGaussian, Gaussian, ScalarGaussian
from vae_lab.models.likelihoods.logistic_regression import LogisticRegression

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "ContinuousBernoulli",
    "Cost",
    "DiscretizedLogistic",
    "FixedGaussian",
    "Gaussian",
    "LogisticRegression",
    "ScalarGaussian",
]
