"""Traversals: p(x|z) as one latent dimension moves and the others stay."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.applications.explore.figures.rows_of_data import rows_of_data
from vae_lab.applications.explore.interpolation import traversal


class Scale(NamedTuple):
    """Where a latent space lies.

    Args:
        middle: `(D,)`.
        places: The values of a dimension that lie so many standard deviations from its middle.
        unit: What these are of.
    """

    middle: Tensor
    places: Callable[[int, Tensor], Tensor]
    unit: str


def traversals(
    decode: Callable[[Tensor], Tensor],
    around: Tensor,
    scale: Scale,
    dimensions: Sequence[tuple[int, str, bool]],
    reach: float,
    steps: int,
    title: str,
    path: Path,
) -> None:
    """Draws a row for each dimension, which moves `reach` standard deviations from its middle to either side.

    Args:
        decode: Gives the means of p(x|z), `(N, *data_shape)`, for `(N, D)`.
        around: Where the others stay, `(D,)`.
        scale: The latent space's.
        dimensions: Number, what is said of it, and whether it is active.
        reach: In standard deviations.
        steps: Data in a row.
        title: Of the figure.
        path: Where the PNG goes.
    """
    units = torch.linspace(-reach, reach, steps)
    rows = [traversal(around, d, scale.places(d, units)) for d, _, _ in dimensions]
    rows_of_data(
        [(f"z_{index}: {description}", not is_active) for index, description, is_active in dimensions],
        decode(torch.cat(rows)).unflatten(0, (len(rows), steps)),
        [f"{unit:.3g}" for unit in units.tolist()],
        title,
        scale.unit,
        path,
    )
