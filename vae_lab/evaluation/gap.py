"""The gap between log p(x) and the evidence lower bound, and its causes."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.inference.importance_sampling import CHUNK_ROWS, MAX_WEIGHTS, importance_samples
from vae_lab.inference.terms import Term, join, mean_of_samples
from vae_lab.inference.weights import Trust, gap_variance, join_trust
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource


class Gap(NamedTuple):
    """The parts of the gap of each datum, and how far the weights of the fitted q can be trusted."""

    terms: dict[str, Term]
    trust: Trust


def split_gap(
    vae: VAE,
    batch: Batch,
    noise: NoiseSource,
    fit: FitPosterior,
    num_samples: int,
    chunk_rows: int = CHUNK_ROWS,
) -> Gap:
    r"""The two parts of log p(x) - ELBO: what the family of q cannot do, and what the encoder does not do.

    $$\log p(x) - \mathcal L(q) = [\log p(x) - \mathcal L(q^*)] + [\mathcal L(q^*) - \mathcal L(q)]$$

    with q* fitted to each datum, and log p(x) by importance samples of q*. All three come from the same
    noise, and the errors over the samples are those of the differences. Where the weights of q* cannot be
    trusted, the first part may be too small.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li & Duvenaud, 2018), equation 5.

    Args:
        vae: The model, with an amortised q.
        batch: `B` data.
        noise: Source of evaluation noise.
        fit: How q is fitted.
        num_samples: Importance samples.
        chunk_rows: Decoder rows at a time.
    """
    best = fit(vae, batch, noise, "test")
    size = max(1, MAX_WEIGHTS // num_samples)
    parts = []
    for start in range(0, len(batch.x), size):
        some = batch.take(slice(start, start + size))
        parts.append(
            _of_weights(*(_log_weights(q, some, noise, num_samples, chunk_rows) for q in (best, vae)))
        )
    terms, trusts = zip(*parts, strict=True)
    return Gap(join(terms), join_trust(list(trusts)))


def _log_weights(vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int, chunk_rows: int) -> Tensor:
    parts = importance_samples(vae, batch, noise, num_samples, chunk_rows)
    return torch.cat([part.log_weight for part in parts], dim=1)


def _of_weights(best: Tensor, encoder: Tensor) -> tuple[dict[str, Term], Trust]:
    lost = best.logsumexp(0) - math.log(len(best)) - best.mean(0)
    return {
        "approximation_gap": Term(lost, gap_variance(best)),
        "amortization_gap": mean_of_samples(best - encoder),
    }, Trust.of(best)
