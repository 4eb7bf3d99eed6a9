"""Priors p(z)."""

from vae_lab.models.priors.bernoulli import Bernoulli
from vae_lab.models.priors.categorical import Categorical
from vae_lab.models.priors.cauchy import StandardCauchy
from vae_lab.models.priors.exponential import StandardExponential
from vae_lab.models.priors.flow import Flow
from vae_lab.models.priors.gaussian_mixture import GaussianMixture
from vae_lab.models.priors.hierarchical import Hierarchical
from vae_lab.models.priors.standard_normal import StandardNormal
from vae_lab.models.priors.vamp import VampPrior

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
