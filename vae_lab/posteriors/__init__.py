"""Families of approximate posteriors q(z|x)."""

from vae_lab.posteriors.bernoulli import Bernoulli
from vae_lab.posteriors.categorical import Categorical
from vae_lab.posteriors.cauchy import Cauchy
from vae_lab.posteriors.exponential import Exponential
from vae_lab.posteriors.flow import Flow
from vae_lab.posteriors.full_gaussian import FullGaussian
from vae_lab.posteriors.gamma import Gamma
from vae_lab.posteriors.gaussian import FixedGaussian, Gaussian, IsotropicGaussian
from vae_lab.posteriors.hierarchical import Hierarchical
from vae_lab.posteriors.laplace import Laplace
from vae_lab.posteriors.logistic import Logistic
from vae_lab.posteriors.student_t import StudentT
from vae_lab.posteriors.weibull import Weibull

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
