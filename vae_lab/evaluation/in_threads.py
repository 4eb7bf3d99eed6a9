"""Independent pieces of work on several threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], device: torch.device
) -> Iterator[Result]:
    """The results in the order of the pieces, on as many threads as torch has here, one piece on each.

    That keeps every core busy where sharing each small operation among the cores would not.

    Args:
        work: What is done with a piece, without a result that depends on other pieces.
        pieces: The pieces.
        device: Where the work is done; a GPU gets one piece at a time.
    """
    count = torch.get_num_threads()
    if device.type != "cpu" or count == 1:
        yield from map(work, pieces)
        return
    torch.set_num_threads(1)  # of each piece
    try:
        with ThreadPoolExecutor(count) as pool:
            yield from pool.map(work, pieces)
    finally:
        torch.set_num_threads(count)
