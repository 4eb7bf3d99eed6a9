"""The ways to impute, side by side."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vae_lab.applications.impute.base import Imputed
from vae_lab.applications.impute.gibbs import metropolis_within_gibbs, pseudo_gibbs
from vae_lab.applications.impute.importance_weighted import importance_weighted
from vae_lab.models.observed import Fill
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

Method = Literal["importance_weighted", "metropolis_within_gibbs", "pseudo_gibbs"]


@dataclass(frozen=True)
class Imputers:
    """Some of the ways to impute.

    Args:
        methods: Which, each once.
        steps: Of the Markov chains, at least 2.
        importance_samples: `K` of the importance weighting, at least 1.
        imputations: Draws for each datum by each of them, and as many chains, at least 1.

    Raises:
        ValueError: If there are none, or a number is out of its range.
    """

    methods: list[Method]
    steps: int
    importance_samples: int
    imputations: int

    def __post_init__(self) -> None:
        for name, least in {"steps": 2, "importance_samples": 1, "imputations": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(f"methods must name at least one, and each once, got {self.methods}.")

    def __call__(
        self, vae: VAE, batch: Batch, fill: Fill, start: Tensor, noise: NoiseSource
    ) -> list[Imputed]:
        """Imputations of some data by each of the methods.

        Args:
            vae: The model, of all pixels, with an amortised q.
            batch: `B` data, NaN where a pixel is missing.
            fill: What the encoder sees there while there is nothing better.
            start: Where the chains begin, `(*data_shape)`.
            noise: Source of evaluation noise.
        """
        return [self._by(method, vae, batch, fill, start, noise) for method in self.methods]

    def _by(
        self, method: Method, vae: VAE, batch: Batch, fill: Fill, start: Tensor, noise: NoiseSource
    ) -> Imputed:
        if method == "importance_weighted":
            return importance_weighted(vae, batch, fill, noise, self.importance_samples, self.imputations)
        chain = pseudo_gibbs if method == "pseudo_gibbs" else metropolis_within_gibbs
        return chain(vae, batch, start, noise, self.steps, self.imputations)
