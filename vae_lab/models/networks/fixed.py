"""A network whose parameters get no gradient."""

from typing import Any

from torch import nn
from torch.func import functional_call


def fixed(network: nn.Module, *inputs: Any) -> Any:
    """The output of a network, cut from the graph of its parameters and not from that of its inputs."""
    parameters = {name: parameter.detach() for name, parameter in network.named_parameters()}
    return functional_call(network, parameters, inputs)
