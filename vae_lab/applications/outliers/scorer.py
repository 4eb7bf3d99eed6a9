"""Models that score data, batch by batch."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vae_lab.applications.impute.baselines import mean_of
from vae_lab.applications.outliers.scores import outlier_scores, reconstruction_error
from vae_lab.models.alternatives import IndependentPixels
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.likelihoods import Bernoulli, Gaussian
from vae_lab.models.observed import filled
from vae_lab.models.sampling import noise_for
from vae_lab.noise import NoiseSpec, random_subset
from vae_lab.numerics.streamed import in_batches
from vae_lab.trained.data import Given
from vae_lab.trained.model import TrainedModel

BATCH_SIZE = 500
MAX_BACKGROUND_DATA = 10_000  # training data that the background is fitted to
PERTURBATION = 0.1  # of the background's training data, in their standard deviations


class Subset(NamedTuple):
    """Data of which some are scored.

    Args:
        data: All of them.
        indices: Those that are scored.
        key: The name of the data that their noise is keyed by, beside their indices.
    """

    data: Given
    indices: Tensor
    key: str

    @classmethod
    def of(cls, data: Given, most: int | None, purpose: str, key: str) -> "Subset":
        """At most so many of the data, at random; all for None."""
        size = len(data.split.x)
        return cls(data, random_subset(size, size if most is None else most, seed=0, purpose=purpose), key)

    @property
    def title(self) -> str:
        """Its name and size."""
        return f"{self.data.name} ({len(self.indices):,})"

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The data and their indices."""
        return in_batches(self.data.split.x, self.indices.split(BATCH_SIZE))


class Scorer(NamedTuple):
    """A model that scores data.

    Args:
        of_batch: Gives the scores of `B` data, each `(B,)`, from the data, their indices and the key of
            their noise.
        checkpoints: Those that it depends on.
    """

    of_batch: Callable[[Tensor, Tensor, str], Mapping[str, Tensor]]
    checkpoints: tuple[Path, ...] = ()

    def scores(
        self, subset: Subset, progress: Callable[[int], None] = lambda done: None
    ) -> dict[str, np.ndarray]:
        """Every score of every datum.

        Args:
            subset: The data.
            progress: Is told how many are done.
        """
        batches, done = [], 0
        for x, indices in subset.batches():
            batch_scores = self.of_batch(x, indices, subset.key)
            batches.append({name: values.cpu().numpy() for name, values in batch_scores.items()})
            progress(done := done + len(indices))
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def scorer_of(model: TrainedModel, num_samples: int) -> Scorer:
    """The scorer by a trained model.

    Args:
        model: The model.
        num_samples: `K` of its importance-weighted log-likelihood.
    """
    return Scorer(partial(_of_batch, model, num_samples), (model.checkpoint,))


def independent_pixels(model: TrainedModel) -> Scorer:
    """A background of what each pixel is like in the training data, for densities with noise on them.

    References:
        Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019), for the noise.

    Args:
        model: The model whose training data are taken.
    """
    train = model.parts.dataset.measured_part("train").x
    x = train[random_subset(len(train), MAX_BACKGROUND_DATA, seed=0, purpose="background")]
    x = filled(x, mean_of(x).to(x))
    binary = isinstance(model.model.likelihood, Bernoulli)
    if not binary:
        spec = {"pixels": NoiseSpec("normal", 1, model.data_shape)}
        x = x + PERTURBATION * x.std() * noise_for(spec, len(x), seed=0, like=x)["pixels"][0]
    pixels = IndependentPixels(model.data_shape, Bernoulli() if binary else Gaussian())
    for _ in pixels.fit(x, model.noise):
        pass
    pixels.to(model.device)
    return Scorer(lambda x, indices, key: _of_density(pixels, x.to(model.device)))


@torch.no_grad()
def _of_density(model: GenerativeModel, x: Tensor) -> dict[str, Tensor]:
    return {"negative_log_likelihood": -model.log_prob(x).double()}


def _of_batch(
    model: TrainedModel, num_samples: int, x: Tensor, indices: Tensor, key: str
) -> dict[str, Tensor]:
    batch = model.batch(x, indices)
    if not model.model.has_latents:
        return _of_density(model.model, batch.x)
    vae = model.with_posterior(batch, key)
    if not model.parts.has_density:
        return {"reconstruction_error": reconstruction_error(vae, batch)}
    return outlier_scores(vae, batch, model.noise.of_part(key), num_samples)
