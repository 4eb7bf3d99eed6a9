"""Families of approximate posteriors q(z|x)."""

from vae_lab.posteriors.gaussian import FixedGaussian, Gaussian, IsotropicGaussian
from vae_lab.posteriors.hierarchical import Hierarchical

__all__ = ["FixedGaussian", "Gaussian", "Hierarchical", "IsotropicGaussian"]
