"""When something happens during training, given in samples and kept in steps."""

import math
from collections.abc import Iterator, Sequence, Set
from typing import Literal

Points = Literal["epoch", "log", "end"] | int | Sequence[int]
PER_DECADE = 10


class EveryFew(Set[int]):
    """The steps after which every n samples are reached; they take no memory, however many they are.

    Args:
        samples: Their number n.
        batch_size: Samples per step.
        num_steps: Steps of the whole run.

    Example:
        >>> list(EveryFew(samples=250, batch_size=100, num_steps=8))
        [3, 5, 8]
    """

    def __init__(self, samples: int, batch_size: int, num_steps: int) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.num_steps = num_steps

    def __contains__(self, step: object) -> bool:
        if not isinstance(step, int) or not 1 <= step <= self.num_steps:
            return False
        return step * self.batch_size // self.samples > (step - 1) * self.batch_size // self.samples

    def __len__(self) -> int:
        return min(self.num_steps, self.num_steps * self.batch_size // self.samples)

    def __iter__(self) -> Iterator[int]:
        step = 0
        while (step := -(-self._next(step) // self.batch_size)) <= self.num_steps:
            yield step

    def _next(self, step: int) -> int:
        """The first multiple of n beyond the samples of a step."""
        return (step * self.batch_size // self.samples + 1) * self.samples


def steps_at(
    points: Points, num_steps: int, batch_size: int, dataset_size: int, name: str = "points"
) -> Set[int]:
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
        return {math.ceil(10 ** (decade / PER_DECADE) / batch_size) for decade in decades}
    if points == "epoch":
        return EveryFew(dataset_size, batch_size, num_steps)
    if isinstance(points, int):
        return EveryFew(_positive(points, name), batch_size, num_steps)
    return {math.ceil(_positive(int(count), name) / batch_size) for count in points if int(count) <= samples}


def _positive(count: int, name: str) -> int:
    if count < 1:
        raise ValueError(f"{name} must hold sample counts of at least 1, got {count}.")
    return count
