"""Variational autoencoders, compared.

A trained model, and the classes that parts of your own derive from (`docs/extending.md`).

Example:
    >>> import vae_lab
    >>> model = vae_lab.load("outputs/runs/04ab5e61e72d")  # doctest: +SKIP
    >>> model.sample(16).shape  # doctest: +SKIP
    torch.Size([16, 1, 8, 8])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lab.applications.base import Application
    from vae_lab.checks.dataset import check_dataset
    from vae_lab.checks.estimator import check_estimator
    from vae_lab.checks.likelihood import check_likelihood
    from vae_lab.checks.network import check_network
    from vae_lab.checks.posterior import check_posterior
    from vae_lab.datasets.base import Split, SplitDataset, Splits
    from vae_lab.estimators.base import Estimate, Estimator, Needs
    from vae_lab.estimators.baselines.base import Baseline
    from vae_lab.estimators.multi_sample import MultiSampleEstimator
    from vae_lab.estimators.single_sample import SingleSampleEstimator
    from vae_lab.models.alternatives.base import DensityModel, DirectlyFitted
    from vae_lab.models.distributions.posterior import Posterior, PosteriorDistribution
    from vae_lab.models.distributions.prior import FactorisedPrior, Prior
    from vae_lab.models.generative import GenerativeModel
    from vae_lab.models.likelihoods.base import Likelihood, PixelDistribution
    from vae_lab.models.vae import VAE, Batch
    from vae_lab.noise import NoiseSource, NoiseSpec
    from vae_lab.runs.table import runs
    from vae_lab.trained.model import TrainedModel, load

_MODULES = {  # where each name is, imported when it is asked for: torch takes a second
    "applications.base": ("Application",),
    "checks.dataset": ("check_dataset",),
    "checks.estimator": ("check_estimator",),
    "checks.likelihood": ("check_likelihood",),
    "checks.network": ("check_network",),
    "checks.posterior": ("check_posterior",),
    "datasets.base": ("Split", "SplitDataset", "Splits"),
    "estimators.base": ("Estimate", "Estimator", "Needs"),
    "estimators.baselines.base": ("Baseline",),
    "estimators.multi_sample": ("MultiSampleEstimator",),
    "estimators.single_sample": ("SingleSampleEstimator",),
    "models.alternatives.base": ("DensityModel", "DirectlyFitted"),
    "models.distributions.posterior": ("Posterior", "PosteriorDistribution"),
    "models.distributions.prior": ("FactorisedPrior", "Prior"),
    "models.generative": ("GenerativeModel",),
    "models.likelihoods.base": ("Likelihood", "PixelDistribution"),
    "models.vae": ("VAE", "Batch"),
    "noise": ("NoiseSource", "NoiseSpec"),
    "runs.table": ("runs",),
    "trained.model": ("TrainedModel", "load"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "VAE",
    "Application",
    "Baseline",
    "Batch",
    "DensityModel",
    "DirectlyFitted",
    "Estimate",
    "Estimator",
    "FactorisedPrior",
    "GenerativeModel",
    "Likelihood",
    "MultiSampleEstimator",
    "Needs",
    "NoiseSource",
    "NoiseSpec",
    "PixelDistribution",
    "Posterior",
    "PosteriorDistribution",
    "Prior",
    "SingleSampleEstimator",
    "Split",
    "SplitDataset",
    "Splits",
    "TrainedModel",
    "check_dataset",
    "check_estimator",
    "check_likelihood",
    "check_network",
    "check_posterior",
    "load",
    "runs",
]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"vae_lab.{_PLACES[name]}"), name)
    raise AttributeError(f"module 'vae_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
