"""Paths through the latent space between the codes of two data."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.applications.explore.figures.rows_of_data import rows_of_data
from vae_lab.applications.explore.interpolation import linear, spherical


class End(NamedTuple):
    """One of two data.

    Args:
        name: What it is called.
        label: Its class, if it is known.
        x: The datum, `(*data_shape)`.
        z: Its code, `(D,)`.
    """

    name: str
    label: int | None
    x: Tensor
    z: Tensor

    @property
    def caption(self) -> str:
        """Its name and class."""
        return self.name if self.label is None else f"{self.name}\nclass {self.label}"


def interpolations(
    decode: Callable[[Tensor], Tensor], start: End, end: End, steps: int, title: str, path: Path
) -> None:
    """Draws a row for the straight line and one for the arc, both data at the ends of each.

    Args:
        decode: Gives the means of p(x|z), `(N, *data_shape)`, for `(N, D)`.
        start: Where the paths begin.
        end: Where they end.
        steps: Data on a path, the reconstructions of both among them.
        title: Of the figure.
        path: Where the PNG goes.
    """
    ways = {"linear": linear, "spherical": spherical}
    if len(start.z) == 1:
        del ways["spherical"]  # in one dimension there is the line alone
    rows = [
        torch.cat([start.x.unsqueeze(0), decode(way(start.z, end.z, steps)), end.x.unsqueeze(0)])
        for way in ways.values()
    ]
    places = [f"{place:.3g}" for place in torch.linspace(0, 1, steps).tolist()]
    rows_of_data(
        [(name, False) for name in ways],
        torch.stack(rows),
        [start.caption, *places, end.caption],
        title,
        "share of the way",
        path,
    )
