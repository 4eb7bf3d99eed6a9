"""Families of likelihoods p(x|z)."""

from vae_lab.likelihoods.bernoulli import Bernoulli
from vae_lab.likelihoods.gaussian import FixedGaussian, Gaussian, ScalarGaussian

__all__ = ["Bernoulli", "FixedGaussian", "Gaussian", "ScalarGaussian"]
