"""Activations by name."""

from typing import Literal

from torch import nn

Activation = Literal["relu", "tanh", "softplus", "elu", "gelu", "silu"]


def activation(name: Activation) -> nn.Module:
    """A new activation module.

    Example:
        >>> activation("tanh")
        Tanh()
    """
    modules = {
        "relu": nn.ReLU,
        "tanh": nn.Tanh,
        "softplus": nn.Softplus,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
    }
    return modules[name]()
