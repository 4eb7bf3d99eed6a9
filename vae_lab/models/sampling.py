"""Data that a model draws, and how long it takes."""

import math
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vae_lab.models.generative import GenerativeModel
from vae_lab.noise import NoiseSource, NoiseSpec

MIN_TIMING_SECONDS = 0.02  # seconds, at least


@torch.no_grad()
def draw_data(model: GenerativeModel, data_shape: Sequence[int], count: int) -> tuple[Tensor | None, float]:
    """Data that the model draws, always from the same noise, and the seconds for each of them.

    Args:
        model: The model, on any device.
        data_shape: Shape of one datum.
        count: How many are drawn at once.

    Returns:
        `(number, *data_shape)` and the seconds; None and nan if its likelihood cannot be sampled.
    """
    try:
        spec = model.sample_spec(data_shape)
    except ValueError:
        return None, math.nan
    noise = noise_for(spec, count, seed=0, like=tensor_of(model))
    times: list[float] = []
    while sum(times) < MIN_TIMING_SECONDS:  # the first of many is slow
        started = time.perf_counter()
        x = model.sample(noise)
        times.append(time.perf_counter() - started)
    return x, min(times) / count


def tensor_of(model: GenerativeModel) -> Tensor:
    """One of its tensors, which tells its device and its type."""
    tensor: Tensor = next(iter(model.state_dict().values()))
    return tensor


def noise_for(specs: Mapping[str, NoiseSpec], count: int, seed: int, like: Tensor) -> dict[str, Tensor]:
    """The noise from which so many data are drawn, on the device and of the type of `like`."""
    return NoiseSource(seed).training(
        specs, purpose="samples", step=0, batch_size=count, device=like.device, dtype=like.dtype
    )
