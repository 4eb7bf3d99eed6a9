"""Gradient estimators, each a surrogate loss."""

from vae_lab.estimators.autoencoder import Autoencoder
from vae_lab.estimators.ciwae import CIWAE
from vae_lab.estimators.delta_method import DeltaMethod
from vae_lab.estimators.dreg import DReG
from vae_lab.estimators.full_variational_bayes import FullVariationalBayes
from vae_lab.estimators.iwae import IWAE
from vae_lab.estimators.lax import LAX
from vae_lab.estimators.maximum_likelihood import MaximumLikelihood
from vae_lab.estimators.measure_valued import MeasureValued
from vae_lab.estimators.miwae import MIWAE
from vae_lab.estimators.monte_carlo_em import MonteCarloEM
from vae_lab.estimators.ovis import OVIS
from vae_lab.estimators.piwae import PIWAE
from vae_lab.estimators.reparameterized import Reparameterized
from vae_lab.estimators.reweighted_wake_sleep import ReweightedWakeSleep
from vae_lab.estimators.score_function import ScoreFunction
from vae_lab.estimators.sticking_the_landing import StickingTheLanding
from vae_lab.estimators.stl_iwae import STLIWAE
from vae_lab.estimators.taylor import Taylor
from vae_lab.estimators.vimco import VIMCO
from vae_lab.estimators.wake_sleep import WakeSleep

__all__ = [
    "CIWAE",
    "IWAE",
    "LAX",
    "MIWAE",
    "OVIS",
    "PIWAE",
    "STLIWAE",
    "VIMCO",
    "Autoencoder",
    "DReG",
    "DeltaMethod",
    "FullVariationalBayes",
    "MaximumLikelihood",
    "MeasureValued",
    "MonteCarloEM",
    "Reparameterized",
    "ReweightedWakeSleep",
    "ScoreFunction",
    "StickingTheLanding",
    "Taylor",
    "WakeSleep",
]
