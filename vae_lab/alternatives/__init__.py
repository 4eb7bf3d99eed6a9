"""The models that a VAE replaces, each with a log-likelihood of its own."""

from vae_lab.alternatives.autoregressive import Autoregressive
from vae_lab.alternatives.bernoulli_mixture import BernoulliMixture
from vae_lab.alternatives.finite_mixture import FiniteMixture
from vae_lab.alternatives.gaussian_mixture import GaussianMixture
from vae_lab.alternatives.independent_pixels import IndependentPixels
from vae_lab.alternatives.ppca import PPCA

__all__ = [
    "PPCA",
    "Autoregressive",
    "BernoulliMixture",
    "FiniteMixture",
    "GaussianMixture",
    "IndependentPixels",
]
