"""Codes: what a trained model makes of data of any size."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.datasets.base import EVALUATION_BATCH, EVALUATION_NUMBERS
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.noise import EVALUATION_BLOCK, TEST
from vae_lab.numerics.streamed import StreamedTensor, in_batches
from vae_lab.trained.model import TrainedModel


class Encoded(NamedTuple):
    """Some data, their numbers, and q(z|x) of each.

    Args:
        x: `(B, *data_shape)`.
        numbers: `(B,)`, from 0.
        q: q(z|x).
    """

    x: Tensor
    numbers: Tensor
    q: PosteriorDistribution


def encoded(
    model: TrainedModel, x: Tensor | StreamedTensor, batch_size: int | None = None, part: str = TEST
) -> Iterator[Encoded]:
    """Reads and encodes data, one batch after another; no result depends on the batches.

    Args:
        model: The model, with an encoder.
        x: Data `(N, *data_shape)`, in memory or on disk.
        batch_size: How many at a time; None for as many as suit the memory.
        part: Their name, which keys the noise of a fit.
    """
    size = batch_size or max(1, min(EVALUATION_BATCH, EVALUATION_NUMBERS // math.prod(x.shape[1:])))
    for some, numbers in in_batches(x, torch.arange(len(x)).split(size)):
        yield Encoded(some, numbers, model.encode(some, numbers, part))


def samples_of(model: TrainedModel, batch: Encoded, count: int, part: str = TEST) -> Tensor:
    """Samples of q(z|x), `(number, B, D)`: a function of the noise's seed and the datum's part and number."""
    vae = model.parts.vae
    blocks = []
    for block, start in enumerate(range(0, count, EVALUATION_BLOCK)):
        size = min(EVALUATION_BLOCK, count - start)
        eps = model.noise.of_part(part).evaluation(
            vae.posterior_noise(size),
            purpose="codes",
            indices=batch.numbers,
            block=block,
            device=batch.q.mean.device,
            dtype=batch.q.mean.dtype,
        )["posterior"]
        blocks.append(batch.q.transform(eps).to(eps))
    return torch.cat(blocks)


def notes_on_codes(model: TrainedModel) -> list[str]:
    """Caveats of the codes."""
    vae = model.parts.vae
    if not model.parts.has_density:
        return ["the code of an autoencoder is a point, without scale"]
    notes = []
    if vae.posterior.layer_dims:
        notes.append(
            "q has several layers: mean is that of each given the means of those before, and there is no "
            "scale; samples=1000 tells of its width"
        )
    elif not vae.posterior.has_mean:
        notes.append(
            f"{type(vae.posterior).__name__} has no closed mean or scale: mean is the value at the "
            "middle of the noise; samples=1000 tells more"
        )
    if vae.is_per_datum:
        notes.append("the model has no encoder: q was fitted to each datum by its bound")
    return notes
