"""Single precision at least for log-densities, whatever precision autocast gives the networks."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

HALF = (torch.bfloat16, torch.float16)


def single(outputs: Tensor) -> Tensor:
    """The outputs of a network, in single precision if they come in half of it.

    Example:
        >>> single(torch.ones(1, dtype=torch.bfloat16)).dtype, single(torch.ones(1).double()).dtype
        (torch.float32, torch.float64)
    """
    return outputs.float() if outputs.dtype in HALF else outputs


def without_autocast(like: Tensor) -> AbstractContextManager:
    """Keeps matrix products on the device of `like` in the precision of their factors."""
    return torch.autocast(like.device.type, enabled=False)


def for_network(z: Tensor, network: nn.Module) -> Tensor:
    """Latent variables in the precision of a network, where theirs is higher."""
    if z.dtype != torch.float64:
        return z
    own = next(network.parameters(), None)
    return z if own is None else z.to(own.dtype)
