"""Checks of mixtures: the number of components, and a component that has died."""

import torch
from torch import Tensor


def check_counts(**counts: int) -> None:
    """Raises `ValueError` if one of them is below 1."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")


def check_enough(num_components: int, x: Tensor) -> None:
    """Raises `ValueError` if there are fewer data than components."""
    if num_components > len(x):
        raise ValueError(f"num_components must be at most {len(x)}, the data, got {num_components}.")


def check_alive(held: Tensor, fewest: float) -> None:
    """Raises `ValueError` if a component holds fewer data than that.

    Args:
        held: How many data each component holds, `(K,)`.
        fewest: How many it must hold.
    """
    dead = torch.nonzero(~(held >= fewest)).flatten().tolist()
    if dead:
        raise ValueError(
            f"num_components={len(held)}: component {dead[0]} has died: holds {held[dead[0]].item():.2g} "
            f"of {held.sum().item():.0f} data ({len(dead)} such); use fewer components, or another seed."
        )
