"""When something happens during training, given in samples and kept in steps."""

import math
from collections.abc import Sequence
from typing import Literal

Points = Literal["epoch", "log", "end"] | int | Sequence[int]
PER_DECADE = 10


def steps_at(
    points: Points, num_steps: int, batch_size: int, dataset_size: int, name: str = "points"
) -> set[int]:
    """The steps, from 1 to `num_steps`, after which the given points are reached.

    Args:
        points: `epoch` (the end of every epoch), `log` (ten a decade, from one batch on), `end` (the last
            step alone), a number `n` (every n samples), or a list of sample counts.
        num_steps: Steps of the whole run.
        batch_size: Samples per step.
        dataset_size: Samples per epoch.
        name: What the points are called, for messages.

    Raises:
        ValueError: If a sample count is below 1.

    Example:
        >>> sorted(steps_at([100, 950], num_steps=20, batch_size=100, dataset_size=500))
        [1, 10]
        >>> sorted(steps_at("epoch", num_steps=20, batch_size=100, dataset_size=750))
        [8, 15]
    """
    samples = num_steps * batch_size
    if points == "end":
        return {num_steps}
    if points == "log":
        first, last = math.log10(batch_size), math.log10(samples)
        decades = range(math.ceil(first * PER_DECADE), math.floor(last * PER_DECADE) + 1)
        counts: Sequence[float] = [10 ** (decade / PER_DECADE) for decade in decades]
    elif points == "epoch":
        counts = range(dataset_size, samples + 1, dataset_size)
    elif isinstance(points, int):
        counts = range(_positive(points, name), samples + 1, points)
    else:
        counts = [_positive(int(count), name) for count in points if int(count) <= samples]
    return {math.ceil(count / batch_size) for count in counts}


def _positive(count: int, name: str) -> int:
    if count < 1:
        raise ValueError(f"{name} must hold sample counts of at least 1, got {count}.")
    return count
