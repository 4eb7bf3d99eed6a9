"""What mixtures share: the choice of a component, and the component that has died."""

import torch
from torch import Tensor


def component(uniform: Tensor, weights: Tensor) -> Tensor:
    """The component chosen by a number of [0, 1) for each datum, `(B,)` from `(B,)` and weights `(K,)`.

    Example:
        >>> component(torch.tensor([0.1, 0.9]), torch.tensor([0.5, 0.5])).tolist()
        [0, 1]
    """
    ends = weights.double().cumsum(0)
    return torch.searchsorted(ends, uniform.double() * ends[-1], right=True).clamp(max=len(weights) - 1)


def check_alive(held: Tensor, fewest: float) -> None:
    """Raises `ValueError` if a component holds fewer data than that.

    Args:
        held: How many data each component holds, `(K,)`.
        fewest: How many it must hold.
    """
    dead = torch.nonzero(~(held >= fewest)).flatten().tolist()
    if dead:
        raise ValueError(
            f"num_components={len(held)}: component {dead[0]} has died, it holds {held[dead[0]].item():.2g} "
            f"of {held.sum().item():.0f} data ({len(dead)} such); use fewer components, or another seed."
        )
