"""Nearest neighbours in data of any size."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.numerics.streamed import StreamedTensor, in_batches

CHUNK_DATA = 2000  # data of which the distances are held


class Nearest(NamedTuple):
    """The nearest of the data to each of `Q` queries.

    Args:
        distances: Euclidean, `(Q,)`.
        numbers: Which of the data, `(Q,)`.
    """

    distances: Tensor
    numbers: Tensor


def nearest_data(queries: Tensor, x: Tensor | StreamedTensor) -> Nearest:
    """Looks through all data once, reading them as it goes.

    Args:
        queries: `(Q, *data_shape)`, at least one; NaN where a pixel is missing.
        x: Data `(N, *data_shape)`, at least one, likewise.

    Example:
        >>> nearest_data(torch.tensor([[0.1], [2.2]]), torch.tensor([[0.0], [1.0], [2.0]])).numbers.tolist()
        [0, 2]
    """
    flat = queries.flatten(1)
    distances = torch.full((len(queries),), torch.inf, dtype=flat.dtype)
    numbers = torch.zeros(len(queries), dtype=torch.long)
    for batch, of_batch in in_batches(x, torch.arange(len(x)).split(CHUNK_DATA)):
        rows = batch.flatten(1).to(flat)
        places = _distances(flat, rows).argmin(dim=1)
        least = _distance(flat, rows[places])  # 0 for a copy, which matrix products miss
        closer = least < distances
        distances = torch.where(closer, least, distances)
        numbers = torch.where(closer, of_batch[places], numbers)
    return Nearest(distances, numbers)


def _distances(queries: Tensor, x: Tensor) -> Tensor:
    """Those of `(Q, D)` and `(N, D)`, `(Q, N)`; a pixel that one misses counts as the mean of the others."""
    here, there = (~queries.isnan()).to(x), (~x.isnan()).to(x)
    if bool(here.all() & there.all()):
        return torch.cdist(queries, x)
    queries, x = queries.nan_to_num(0), x.nan_to_num(0)
    squares = queries.square() @ there.T - 2 * queries @ x.T + here @ x.square().T
    return (squares.clamp(min=0) * x.shape[1] / (here @ there.T)).sqrt().nan_to_num(torch.inf)


def _distance(queries: Tensor, x: Tensor) -> Tensor:
    """Those of `(Q, D)` and as many data, `(Q,)`, likewise."""
    return (queries - x).square().nanmean(dim=1).mul(x.shape[1]).sqrt()
