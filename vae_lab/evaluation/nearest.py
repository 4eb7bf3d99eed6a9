"""Nearest neighbours in data of any size."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.rows import Rows, in_batches

AT_A_TIME = 2000  # data of which the distances are held


class Nearest(NamedTuple):
    """The nearest of the data to each of `Q` queries.

    Args:
        distances: Euclidean, `(Q,)`.
        numbers: Which of the data, `(Q,)`.
    """

    distances: Tensor
    numbers: Tensor


def nearest(queries: Tensor, x: Tensor | Rows) -> Nearest:
    """Looks through all data once, reading them as it goes.

    Args:
        queries: `(Q, *data_shape)`, at least one.
        x: Data `(N, *data_shape)`, at least one.

    Example:
        >>> nearest(torch.tensor([[0.1], [2.2]]), torch.tensor([[0.0], [1.0], [2.0]])).numbers.tolist()
        [0, 2]
    """
    flat = queries.flatten(1)
    distances = torch.full((len(queries),), torch.inf, dtype=flat.dtype)
    numbers = torch.zeros(len(queries), dtype=torch.long)
    for batch, of_batch in in_batches(x, torch.arange(len(x)).split(AT_A_TIME)):
        rows = batch.flatten(1).to(flat)
        places = torch.cdist(flat, rows).argmin(dim=1)
        least = (flat - rows[places]).norm(dim=1)  # 0 for a copy, which cdist's matrix products miss
        closer = least < distances
        distances = torch.where(closer, least, distances)
        numbers = torch.where(closer, of_batch[places], numbers)
    return Nearest(distances, numbers)
