"""The codes of data under a trained model."""

from collections.abc import Iterator

import torch
from torch import Tensor

from vae_lab.applications.base import Progress
from vae_lab.applications.explore.codes import Codes, Which, encode
from vae_lab.datasets.base import Split
from vae_lab.models.vae import Batch
from vae_lab.noise import random_subset
from vae_lab.numerics.streamed import in_batches
from vae_lab.trained.model import TrainedModel

CHUNK_DATA = 1000  # data


def codes_of(
    model: TrainedModel, split: Split, part: str, most: int, which: Which, progress: Progress
) -> Codes:
    """Codes of some data at random, always the same ones, and how the model uses its dimensions for all data.

    Where q has to be fitted to each datum, for those alone.

    Args:
        model: A VAE with a q(z|x).
        split: The data.
        part: Their name, which keys the noise.
        most: How many codes.
        which: Whether a code is the mean of q(z|x), or a sample of it.
        progress: Called with the number of data that are done.
    """
    chosen = random_subset(len(split.x), most, seed=model.noise.seed, purpose="codes")
    numbers = chosen if model.parts.vae.is_per_datum else torch.arange(len(split.x))
    return encode(
        _batches(model, split, numbers, progress),
        lambda batch: model.with_posterior(batch, part),
        model.noise.of_part(part),
        chosen,
        which,
        model.parts.has_density,
    )


@torch.no_grad()
def encode_datum(model: TrainedModel, x: Tensor, index: int, part: str) -> Tensor:
    """The mean of q(z|x) for one datum `(1, *data_shape)`, `(D,)`."""
    batch = model.batch(x, torch.tensor([index]))
    return model.with_posterior(batch, part).encode(batch).mean[0].cpu()


def _batches(model: TrainedModel, split: Split, numbers: Tensor, progress: Progress) -> Iterator[Batch]:
    done = 0
    for x, of_batch in in_batches(split.x, numbers.split(CHUNK_DATA)):
        yield model.batch(x, of_batch)
        done += len(of_batch)
        progress(done, len(numbers))
