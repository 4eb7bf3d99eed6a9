"""Gradient estimators, each a surrogate loss."""

from vae_lab.estimators.autoencoder import Autoencoder
from vae_lab.estimators.reparameterized import Reparameterized
from vae_lab.estimators.score_function import ScoreFunction

__all__ = ["Autoencoder", "Reparameterized", "ScoreFunction"]
