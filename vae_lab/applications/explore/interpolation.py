"""Paths between two latent vectors."""

import torch
from torch import Tensor

PARALLEL = 1e-4  # radians, below which the arc is the line to single precision


def linear(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""The straight line, $z(t) = (1 - t) a + t b$ for equally spaced `t` from 0 to 1.

    Args:
        start: `a`, `(D,)`.
        end: `b`, `(D,)`.
        steps: `S`, at least 2.

    Returns:
        `(S, D)`, both ends among them.

    Raises:
        ValueError: If `steps` is below 2.

    Example:
        >>> linear(torch.tensor([0.0, 2.0]), torch.tensor([4.0, 0.0]), steps=3).tolist()
        [[0.0, 2.0], [2.0, 1.0], [4.0, 0.0]]
    """
    return torch.lerp(start, end, _times(start, steps))


def spherical(start: Tensor, end: Tensor, steps: int) -> Tensor:
    r"""The arc of a great circle, which keeps the norm where both ends have the same.

    $$z(t) = \frac{\sin((1 - t)\,\omega)}{\sin\omega}\, a + \frac{\sin(t\,\omega)}{\sin\omega}\, b$$

    with `omega` the angle between `a` and `b`. Samples of a standard normal in `D` dimensions have norms near
    sqrt(D), which a straight line leaves: its middle is shorter by a factor of cos(omega / 2). Where the ends
    are parallel, opposite or zero there is no one arc, and the line takes its place.

    References:
        Animating rotation with quaternion curves (Shoemake, 1985), section 3.3; Sampling generative networks
        (White, 2016), section 2.1, for latent variables.

    Args:
        start: `a`, `(D,)`.
        end: `b`, `(D,)`.
        steps: `S`, at least 2.

    Returns:
        `(S, D)`, both ends among them.

    Raises:
        ValueError: If `steps` is below 2.

    Example:
        >>> middle = spherical(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0]), steps=3)[1]
        >>> round(middle.norm().item(), 6)
        3.0
    """
    times = _times(start, steps)
    first, second = (each / each.norm() for each in (start, end))
    omega = 2 * torch.atan2((first - second).norm(), (first + second).norm())  # exact at small angles too
    if not PARALLEL < omega < torch.pi - PARALLEL:  # nor where it is not a number
        return torch.lerp(start, end, times)
    return (((1 - times) * omega).sin() * start + (times * omega).sin() * end) / omega.sin()


def traversal(around: Tensor, dimension: int, values: Tensor) -> Tensor:
    """One dimension at given values, the others as they are: `(S, D)`.

    Args:
        around: `(D,)`.
        dimension: Which, from 0.
        values: `(S,)`.

    Example:
        >>> traversal(torch.tensor([5.0, 7.0]), 1, torch.tensor([-1.0, 1.0])).tolist()
        [[5.0, -1.0], [5.0, 1.0]]
    """
    z = around.repeat(len(values), 1)
    z[:, dimension] = values
    return z


def _times(like: Tensor, steps: int) -> Tensor:
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}.")
    return torch.linspace(0, 1, steps, dtype=like.dtype, device=like.device).unsqueeze(1)
