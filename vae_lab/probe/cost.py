"""The cost of one gradient of an estimator."""

import statistics
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimator
from vae_lab.models.vae import VAE, Batch

ROUNDS = 7


class GradientCost(NamedTuple):
    """The cost of one minibatch gradient by every parameter.

    Args:
        seconds: Median wall time, forward and backward.
        decoder_evaluations: Passes through the decoder per datum.
        memory: Bytes kept from the forward pass for the backward pass, each storage once.
    """

    seconds: float
    decoder_evaluations: float
    memory: int


def costs(
    vae: VAE, batch: Batch, estimators: Mapping[str, tuple[Estimator, Mapping[str, Tensor]]]
) -> dict[str, GradientCost]:
    """The cost of each estimator with its noise, timed in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in estimators}
    for round_ in range(ROUNDS + 1):
        for name, (estimator, noise) in estimators.items():
            elapsed = _time(vae, batch, estimator, noise)
            if round_ > 0:  # the first is a warm-up
                seconds[name].append(elapsed)
    return {
        name: GradientCost(statistics.median(seconds[name]), *_count(vae, batch, estimator, noise))
        for name, (estimator, noise) in estimators.items()
    }


def _time(vae: VAE, batch: Batch, estimator: Estimator, noise: Mapping[str, Tensor]) -> float:
    _synchronise(batch.x)
    started = time.perf_counter()
    _gradient(vae, batch, estimator, noise)
    _synchronise(batch.x)
    return time.perf_counter() - started


def _gradient(vae: VAE, batch: Batch, estimator: Estimator, noise: Mapping[str, Tensor]) -> None:
    parameters = [*vae.parameters(), *estimator.parameters()]
    surrogate = estimator(vae, batch, noise).surrogate.mean()
    torch.autograd.grad(surrogate, parameters, allow_unused=True)


def _count(vae: VAE, batch: Batch, estimator: Estimator, noise: Mapping[str, Tensor]) -> tuple[float, int]:
    rows: list[int] = []
    hook = vae.decoder.register_forward_hook(lambda _, given, __: rows.append(len(given[0])))
    try:
        surrogate = estimator(vae, batch, noise).surrogate.mean()
    finally:
        hook.remove()
    parameters = {parameter.untyped_storage().data_ptr() for parameter in vae.parameters()}
    kept = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in _kept(surrogate)
    }
    memory = sum(size for pointer, size in kept.items() if pointer not in parameters)
    return sum(rows) / len(batch.x), memory


def _kept(output: Tensor) -> Iterator[Tensor]:
    """The tensors that the graph of `output` keeps for the backward pass."""
    seen, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        for name in dir(node):
            if name.startswith("_saved_"):
                saved = getattr(node, name)
                yield from (
                    part
                    for part in (saved if isinstance(saved, tuple) else (saved,))
                    if isinstance(part, Tensor)
                )


def _synchronise(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
