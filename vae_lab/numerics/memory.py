"""Refusal of what does not fit into the memory of this machine, while it is built."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

COPIES_IN_TRAINING = 2  # of each parameter while it is trained: itself and its gradient, at least


def total() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def fitting(part: str) -> Iterator[None]:
    """Refuses to build what would not fit.

    Torch allocates a parameter, which costs nothing yet, registers it, and only then gives it values.

    Args:
        part: What is built, in words.

    Raises:
        ValueError: If the parameters that are made meanwhile need more memory than there is.
    """
    size = 0

    def add(module: nn.Module, name: str, parameter: Tensor | None) -> None:
        nonlocal size
        size += 0 if parameter is None else COPIES_IN_TRAINING * parameter.numel() * parameter.element_size()
        _check(size, part)

    hook = register_module_parameter_registration_hook(add)
    try:
        yield
    finally:
        hook.remove()


def check_fits(count: int, part: str) -> None:
    """Refuses numbers, of 4 bytes each, that would not fit.

    Raises:
        ValueError: If they need more memory than there is.
    """
    _check(4 * count, part)


def _check(size: int, part: str) -> None:
    if size > total():
        raise ValueError(
            f"the memory does not suffice: {part} would need {size / 1e9:,.0f} GB, and this machine has "
            f"{total() / 1e9:,.0f}; choose smaller ones."
        )
