"""The models that a VAE replaces, each with a log-likelihood of its own."""

from vae_lab.models.alternatives.autoregressive import Autoregressive
from vae_lab.models.alternatives.bernoulli_mixture import BernoulliMixture
from vae_lab.models.alternatives.finite_mixture import FiniteMixture
from vae_lab.models.alternatives.gaussian_mixture import GaussianMixture
from vae_lab.models.alternatives.independent_pixels import IndependentPixels
from vae_lab.models.alternatives.ppca import PPCA

__all__ = [
    "PPCA",
    "Autoregressive",
    "BernoulliMixture",
    "FiniteMixture",
    "GaussianMixture",
    "IndependentPixels",
]
