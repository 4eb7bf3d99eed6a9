"""Families of approximate posteriors q(z|x)."""

from vae_lab.posteriors.gaussian import Gaussian, IsotropicGaussian
from vae_lab.posteriors.hierarchical import Hierarchical

__all__ = ["Gaussian", "Hierarchical", "IsotropicGaussian"]
