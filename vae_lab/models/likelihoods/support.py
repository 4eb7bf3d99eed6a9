"""Which data a likelihood can score, and what its nats are then."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

Support = Literal["unit_interval", "open_unit_interval", "real"]


def is_on_levels(x: Tensor, levels: int) -> bool:
    """Whether all values are among `levels` evenly spaced ones of [0, 1]; NaN, which is missing, is none.

    Example:
        >>> import torch
        >>> is_on_levels(torch.tensor([0.0, 0.5]), 2), is_on_levels(torch.tensor([0.0, 0.5]), 3)
        (False, True)
    """
    if bool(((x < 0) | (x > 1)).any()):
        return False
    steps = x * (levels - 1)
    return not bool(((steps - steps.round()).abs() >= 1e-3).any())


def extremes(*data: Tensor) -> tuple[float, float]:
    """The least and the greatest value of some data, NaN being none.

    Example:
        >>> import torch
        >>> extremes(torch.tensor([2.0, torch.nan, 1.0]))
        (1.0, 2.0)
    """
    complete = [x if x.sum().isfinite() else x[~x.isnan()] for x in data]  # to choose them takes long
    pairs = [x.aminmax() for x in complete if x.numel()]
    return min(float(low) for low, _ in pairs), max(float(high) for _, high in pairs)


def no_scale(low: float, high: float) -> str:
    """The hint for data that have no scale to be given."""
    return ""


def check_support(
    name: str,
    support: Support,
    levels: int | None,
    *data: Tensor,
    scale_hint: Callable[[float, float], str] = no_scale,
) -> list[str]:
    """Caveats of log-likelihoods of these data.

    Args:
        name: Of the likelihood.
        support: Where it can score data.
        levels: How many values a pixel takes, None for a density.
        data: Parts of the data as they are scored, and before any binarisation.
        scale_hint: The override by which data of this range would be scaled; empty if there is none.

    Raises:
        ValueError: If it cannot score them; the message says what can.
    """
    scored = data[0]
    if support != "real":
        low, high = extremes(*data)
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} needs data in [0, 1], but the data go from {low:.6g} to {high:.6g}; use "
                f"{scale_hint(low, high) or 'model/likelihood=gaussian'}."
            )
    if support == "open_unit_interval" and bool(((scored <= 0) | (scored >= 1)).any()):
        raise ValueError(
            f"{name} has no finite density at 0 and 1, which the data have; use dataset.dequantize=true "
            "dataset.binarize=none or model/likelihood=continuous_bernoulli."
        )
    if levels is None:
        says_little = f"{name} is a density, and the data are binary: its nats are not those of a probability"
        return [says_little] if is_on_levels(scored, 2) else []
    if is_on_levels(scored, levels):
        return []
    if levels == 2:
        return [f"{name} on grey values is a cross-entropy with soft targets, not a likelihood"]
    raise ValueError(
        f"{name} with levels={levels} scores the values k/{levels - 1}, and the data have others; "
        "give model.likelihood.levels as many grey levels as the data have, not dequantised, and divide them "
        "by one less (dataset.scale)."
    )
