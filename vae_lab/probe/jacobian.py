"""Gradients at an encoder's outputs carried to its parameters, datum by datum."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

CHUNK_NUMBERS = 30_000_000  # numbers held at a time where gradients of single data are formed


class EncoderJacobian:
    r"""The Jacobians J_b of an encoder's outputs by its parameters, one per datum, never formed.

    The encoder runs once. A linear or convolutional layer turns the gradient at its output and its stored
    input into what is asked for; other layers go through `torch.func` datum by datum.

    Args:
        encoder: The network, in which no datum may influence another's output.
        x: Data `(B, *data_shape)`.
    """

    def __init__(self, encoder: nn.Module, x: Tensor) -> None:
        self.encoder = encoder
        self.x = x
        self.parameters = dict(encoder.named_parameters())
        calls: list[tuple[nn.Module, Tensor, Tensor]] = []
        hooks = [
            module.register_forward_hook(lambda layer, given, output: calls.append((layer, given[0], output)))
            for module in encoder.modules()
            if _is_known(module)
        ]
        try:
            with torch.enable_grad():
                self.outputs = encoder(x)
        finally:
            for hook in hooks:
                hook.remove()
        self.layers = self._layers(calls)

    @property
    def is_by_layer(self) -> bool:
        """Whether every parameter belongs to a layer whose rule is known."""
        return self.layers is not None

    def gradients(self, cotangents: Tensor) -> dict[str, Tensor]:
        """sum_b J_b^T v_rb for cotangents `(R, B, P)`: each parameter's, with `R` in front."""
        gradients = torch.autograd.grad(
            self.outputs,
            list(self.parameters.values()),
            cotangents,
            is_grads_batched=True,
            retain_graph=True,
            allow_unused=True,
        )
        return {
            name: torch.zeros(len(cotangents), *parameter.shape).to(parameter) if part is None else part
            for (name, parameter), part in zip(self.parameters.items(), gradients, strict=True)
        }

    def squares(self, cotangents: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The squares of J_b^T v_rb, element by element, for cotangents `(R, B, P)`.

        Returns:
            Their sum over r and b for each parameter, and their sum over the elements of each parameter,
            `(R, B)`.
        """
        by_element: dict[str, Tensor] = {}
        by_datum: dict[str, Tensor] = {}
        for name, element, datum in self._squares(cotangents):
            by_element[name], by_datum[name] = element, datum
        return by_element, by_datum

    def _squares(self, cotangents: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        if self.layers is None:
            yield from self._squares_of_any(cotangents)
            return
        gradients = torch.autograd.grad(
            self.outputs,
            [output for _, _, _, output in self.layers],
            cotangents,
            is_grads_batched=True,
            retain_graph=True,
        )
        for (prefix, layer, given, _), delta in zip(self.layers, gradients, strict=True):
            for kind, (element, datum) in _rule(layer, given.detach(), delta).items():
                yield f"{prefix}{kind}", element, datum

    def _squares_of_any(self, cotangents: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        parameters = {name: parameter.detach() for name, parameter in self.parameters.items()}

        def gradient(x: Tensor, v: Tensor) -> dict[str, Tensor]:
            pull = vjp(lambda own: functional_call(self.encoder, own, (x.unsqueeze(0),))[0], parameters)[1]
            return pull(v)[0]

        size = sum(parameter.numel() for parameter in parameters.values()) * cotangents.shape[1]
        of_chunk: Callable = vmap(vmap(gradient), in_dims=(None, 0))
        elements = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        data: dict[str, list[Tensor]] = {name: [] for name in parameters}
        for chunk in cotangents.split(max(1, CHUNK_NUMBERS // size)):
            for name, part in of_chunk(self.x, chunk).items():
                square = part.square()
                elements[name] += square.sum((0, 1))
                data[name].append(square.flatten(2).sum(-1))
        for name in parameters:
            yield name, elements[name], torch.cat(data[name])

    def _layers(
        self, calls: list[tuple[nn.Module, Tensor, Tensor]]
    ) -> list[tuple[str, nn.Module, Tensor, Tensor]] | None:
        names = {module: name for name, module in self.encoder.named_modules()}
        prefixes = [f"{names[layer]}." if names[layer] else "" for layer, _, _ in calls]
        known = {f"{prefix}{kind}" for prefix in prefixes for kind in ("weight", "bias")}
        once = len(set(prefixes)) == len(prefixes)
        fits = all(output.shape[0] == len(self.x) for _, _, output in calls)
        shared = len(self.parameters) != len(dict(self.encoder.named_parameters(remove_duplicate=False)))
        if not (once and fits and not shared and known >= self.parameters.keys()):
            return None
        return [
            (prefix, layer, given, output)
            for prefix, (layer, given, output) in zip(prefixes, calls, strict=True)
        ]


Rule = dict[str, tuple[Tensor, Tensor]]


def _is_known(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) is nn.Linear


def _rule(layer: nn.Module, given: Tensor, delta: Tensor) -> Rule:
    if isinstance(layer, nn.Conv2d):
        return _convolution(layer, given, delta)
    assert isinstance(layer, nn.Linear)
    return _linear(layer, given, delta)


def _linear(layer: nn.Linear, given: Tensor, delta: Tensor) -> Rule:
    """The gradient of the weight is the product of delta and the input: so is its square of theirs."""
    delta_squares, given_squares = delta.square(), given.square()
    by_datum = delta_squares.sum(-1)
    rule = {"weight": (delta_squares.sum(0).T @ given_squares, by_datum * given_squares.sum(-1))}
    if layer.bias is not None:
        rule["bias"] = (delta_squares.sum((0, 1)), by_datum)
    return rule


def _convolution(layer: nn.Conv2d, given: Tensor, delta: Tensor) -> Rule:
    """The gradient of the weight sums over positions before it is squared."""
    patches = F.unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
    delta = delta.flatten(3)
    size = max(1, CHUNK_NUMBERS // (len(given) * layer.weight.numel()))
    elements, data = torch.zeros_like(layer.weight), []
    for chunk in delta.split(size):
        squares = torch.einsum("rbol,bil->rboi", chunk, patches).square()
        elements += squares.sum((0, 1)).view_as(layer.weight)
        data.append(squares.sum((2, 3)))
    rule = {"weight": (elements.detach(), torch.cat(data))}
    if layer.bias is not None:
        squares = delta.sum(-1).square()
        rule["bias"] = (squares.sum((0, 1)), squares.sum(-1))
    return rule
