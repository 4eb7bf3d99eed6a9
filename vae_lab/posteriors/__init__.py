"""Families of approximate posteriors q(z|x)."""

from vae_lab.posteriors.gaussian import Gaussian, IsotropicGaussian

__all__ = ["Gaussian", "IsotropicGaussian"]
