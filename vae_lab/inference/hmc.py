"""Hamiltonian Monte Carlo, for thousands of posteriors at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LogDensity = Callable[[Tensor], Tensor]
RATE = 0.2  # of the adaptation, in log step size per unit of acceptance


@dataclass
class Chains:
    """The state of `K` chains for each of `B` data.

    Args:
        z: Positions `(K, B, D)`.
        log_density: Of the positions, unnormalised, `(K, B)`.
        gradient: Of the log-density at the positions, `(K, B, D)`.
        step_size: One for each datum, `(B,)`, or one for all.
    """

    z: Tensor
    log_density: Tensor
    gradient: Tensor
    step_size: Tensor


def start_chains(log_density: LogDensity, z: Tensor, step_size: Tensor) -> Chains:
    """Chains at given positions.

    Args:
        log_density: From `(K, B, D)` to `(K, B)`.
        z: Where they begin, `(K, B, D)`.
        step_size: One for each datum, `(B,)`, or one for all.
    """
    value, gradient = _value_and_gradient(log_density, z)
    return Chains(z.detach(), value, gradient, step_size)


def transition(
    log_density: LogDensity,
    chains: Chains,
    momentum: Tensor,
    uniform: Tensor,
    num_leapfrog: int,
    stretch: Tensor | float = 1.0,
) -> tuple[Chains, Tensor]:
    r"""One transition of every chain, which leaves the density invariant.

    Leapfrog steps of size $\epsilon$ follow the Hamiltonian $H(z, m) = -\log p(z) + |m|^2 / 2$; the end is
    accepted with probability $\min(1, e^{H - H'})$. A chain whose end is not finite stays.

    References:
        MCMC using Hamiltonian dynamics (Neal, 2011), sections 5.2, 5.3 and, on random step sizes, 5.4.2.2.

    Args:
        log_density: From `(K, B, D)` to `(K, B)`.
        chains: Where they stand.
        momentum: N(0, I), `(K, B, D)`.
        uniform: U[0, 1), `(K, B)`.
        num_leapfrog: Leapfrog steps, at least 1.
        stretch: Factor of the step size in this transition, `(K, B)` or one number; drawn at random it keeps
            trajectories from closing upon themselves.

    Returns:
        The chains, and the acceptance probability of each, `(K, B)`.
    """
    step = (chains.step_size * stretch).unsqueeze(-1)
    z, gradient, value, half = chains.z, chains.gradient, chains.log_density, momentum
    for _ in range(num_leapfrog):
        half = half + 0.5 * step * gradient
        z = z + step * half
        value, gradient = _value_and_gradient(log_density, z)
        half = half + 0.5 * step * gradient
    gained = value - chains.log_density
    gained = gained + 0.5 * (momentum.square().sum(-1) - half.square().sum(-1))
    acceptance = gained.nan_to_num(nan=-math.inf).clamp(max=0).exp()
    accepted = uniform < acceptance
    moved = Chains(
        torch.where(accepted.unsqueeze(-1), z, chains.z),
        torch.where(accepted, value, chains.log_density),
        torch.where(accepted.unsqueeze(-1), gradient, chains.gradient),
        chains.step_size,
    )
    return moved, acceptance


def tuned(step_size: Tensor, acceptance: Tensor, target: float) -> Tensor:
    """Step sizes a little longer where more was accepted than the target, and shorter where less.

    Args:
        step_size: Of any shape.
        acceptance: Mean acceptance probability with these step sizes, of that shape.
        target: What it should be.
    """
    return step_size * (RATE * (acceptance - target)).exp()


def _value_and_gradient(log_density: LogDensity, z: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        value = log_density(z)
        (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), gradient
