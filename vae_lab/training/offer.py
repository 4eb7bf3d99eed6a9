"""The properties of a run on which an estimator's needs and hints depend."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vae_lab.datasets.base import SplitDataset
from vae_lab.errors import UserError
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.vae import VAE, has_latents
from vae_lab.noise import NoiseSource


class Latents(NamedTuple):
    """The parts of a VAE that do not fit together."""

    posterior: Posterior
    prior: Prior
    likelihood: Likelihood
    has_encoder: bool = True


class LatentsError(UserError):
    """A posterior and a prior that do not fit together."""

    def __init__(self, message: str, latents: Latents) -> None:
        super().__init__(message)
        self.latents = latents


@dataclass(frozen=True)
class Offer:
    """A model, noise, data and processes.

    Args:
        model: Name of the model's class.
        latent_dim: Latent dimensions.
        posterior: That of a VAE, None for another model.
        prior: Likewise.
        likelihood: Likewise.
        has_encoder: Whether there is a q(z|x).
        is_amortized: Whether q(z|x) is a function of x.
        noise: The noise source.
        is_incomplete: Whether pixels are missing.
        sees_parts: Whether a training step sees a part of a datum.
        processes: How many processes share a batch.
    """

    model: str
    latent_dim: int = 1
    posterior: Any = None
    prior: Any = None
    likelihood: Any = None
    has_encoder: bool = True
    is_amortized: bool = True
    noise: NoiseSource | None = None
    is_incomplete: bool = False
    sees_parts: bool = False
    processes: int = 1

    @classmethod
    def of(cls, model: GenerativeModel) -> "Offer":
        """That of a model with independent noise, complete data and one process."""
        if not has_latents(model):
            return cls(type(model).__name__, has_encoder=False, is_amortized=False)
        latents = Latents(model.posterior, model.prior, model.likelihood, model.has_encoder)
        return replace(cls.of_latents(latents), latent_dim=model.latent_dim, is_amortized=model.is_amortized)

    @classmethod
    def of_latents(cls, latents: Latents) -> "Offer":
        """That of a VAE, its encoder amortised if it has one."""
        latent_dim = getattr(latents.prior, "latent_dim", 1)
        return cls(VAE.__name__, latent_dim, *latents, is_amortized=latents.has_encoder)

    def in_run(self, noise: NoiseSource, dataset: SplitDataset, processes: int = 1) -> "Offer":
        """The same with the noise, the data and the processes of a run."""
        return replace(
            self,
            noise=noise,
            is_incomplete=dataset.incomplete,
            sees_parts=dataset.sees_parts,
            processes=processes,
        )
