"""Priors p(z)."""

from vae_lab.priors.bernoulli import Bernoulli
from vae_lab.priors.categorical import Categorical
from vae_lab.priors.cauchy import StandardCauchy
from vae_lab.priors.exponential import StandardExponential
from vae_lab.priors.flow import Flow
from vae_lab.priors.gaussian_mixture import GaussianMixture
from vae_lab.priors.hierarchical import Hierarchical
from vae_lab.priors.standard_normal import StandardNormal
from vae_lab.priors.vamp import VampPrior

__all__ = [
    "Bernoulli",
    "Categorical",
    "Flow",
    "GaussianMixture",
    "Hierarchical",
    "StandardCauchy",
    "StandardExponential",
    "StandardNormal",
    "VampPrior",
]
