"""Families of approximate posteriors q(z|x)."""

from vae_lab.models.posteriors.bernoulli import Bernoulli
from vae_lab.models.posteriors.categorical import Categorical
from vae_lab.models.posteriors.cauchy import Cauchy
from vae_lab.models.posteriors.exponential import Exponential
from vae_lab.models.posteriors.flow import Flow
from vae_lab.models.posteriors.full_gaussian import FullGaussian
from vae_lab.models.posteriors.gamma import Gamma
from vae_lab.models.posteriors.gaussian import FixedGaussian, Gaussian, IsotropicGaussian
from vae_lab.models.posteriors.hierarchical import Hierarchical
from vae_lab.models.posteriors.laplace import Laplace
from vae_lab.models.posteriors.logistic import Logistic
from vae_lab.models.posteriors.student_t import StudentT
from vae_lab.models.posteriors.weibull import Weibull

__all__ = [
    "Bernoulli",
    "Categorical",
    "Cauchy",
    "Exponential",
    "FixedGaussian",
    "Flow",
    "FullGaussian",
    "Gamma",
    "Gaussian",
    "Hierarchical",
    "IsotropicGaussian",
    "Laplace",
    "Logistic",
    "StudentT",
    "Weibull",
]
