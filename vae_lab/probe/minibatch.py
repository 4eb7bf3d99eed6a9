"""The part of a gradient's variance that comes from which data are in the minibatch."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vae_lab.models.vae import Batch
from vae_lab.probe.groups import Groups
from vae_lab.probe.intervals import MIN_DATA, UNKNOWN, of_signed_variance
from vae_lab.probe.jacobian import CHUNK_NUMBERS
from vae_lab.probe.replicates import Objective, per_datum_gradients


def minibatch_traces(
    objective: Objective,
    encoder: nn.Module,
    batch: Batch,
    halves: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    centre: Mapping[str, Tensor],
    groups: Groups,
) -> dict[str, tuple[float, float, float]]:
    r"""Trace of the covariance over minibatches of the mean gradient, and the ends of its 95 % interval.

    $$\frac1B\, \mathrm{tr}\, \mathrm{Cov}_x(m(x)) \approx
      \frac{1}{B (B - 1)} \sum_b \langle m^{(1)}_b - c,\; m^{(2)}_b - c \rangle$$

    m(x) is the gradient of a datum averaged over the noise, estimated twice from independent halves of the
    replicates, so that the noise left in them adds nothing to the expectation; c is the mean over the data,
    known independently. The data of a minibatch are treated as independent draws.

    Args:
        objective: Of an estimator that does not couple data.
        encoder: The model's encoder.
        batch: `B` data, at least 2.
        halves: Noise of the two halves, each `(R, K, B, *event)`.
        centre: c for each parameter, flattened.
        groups: Which parameters each group has.
    """
    size = sum(vector.numel() for vector in centre.values())
    products: dict[str, list[Tensor]] = {name: [] for name in centre}
    rows = torch.arange(len(batch.x), device=batch.x.device)
    for part in rows.split(max(1, CHUNK_NUMBERS // (2 * size))):
        some = batch.take(part)
        first, second = (
            per_datum_gradients(
                objective, encoder, some, {name: eps[:, :, part] for name, eps in half.items()}
            )
            for half in halves
        )
        for name, vector in centre.items():
            deviations = [
                half[name].reshape(len(part), -1) - vector.to(half[name].dtype) for half in (first, second)
            ]
            products[name].append((deviations[0] * deviations[1]).sum(1).double())
    count = len(batch.x)
    traces = {}
    for group, names in groups.items():
        values = torch.stack([torch.cat(products[name]) for name in names]).sum(0)
        trace, shares = float(values.mean()) / (count - 1), values.cpu().numpy()
        traces[group] = (trace, *(UNKNOWN if count < MIN_DATA else of_signed_variance(trace, shares)))
    return traces
