"""The importance-weighted estimate of the marginal log-likelihood, and the weights that it is made of."""

import math
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.inference.weights import Trust, join_trust
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import EVALUATION_BLOCK, NoiseSource

CHUNK_ROWS = 2000  # decoder rows at a time: as many as stay in a CPU's cache
MAX_WEIGHTS = 4_000_000  # held at a time, in float64


class ImportanceSamples(NamedTuple):
    """Log-densities of `K` samples of q(z|x) for each of `B` data, `(K, B)` in float64, in nats.

    Args:
        log_weight: log p(x, z) - log q(z|x).
        reconstruction: log p(x|z).
    """

    log_weight: Tensor
    reconstruction: Tensor


def importance_weighted_log_likelihood(
    vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int
) -> Tensor:
    r"""A lower bound of log p(x), in nats per datum, that tightens with `num_samples`.

    $$L_K = \log \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x)$$

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8.

    Args:
        vae: The model, on any device.
        batch: `B` data.
        noise: Source of evaluation noise.
        num_samples: `K`, at least 1; exactly so many samples are drawn.

    Returns:
        `(B,)` in float64.

    Raises:
        ValueError: If `num_samples` is below 1.
    """
    return judged_log_likelihood(vae, batch, noise, num_samples)[0]


def judged_log_likelihood(
    vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int
) -> tuple[Tensor, Trust]:
    """The same, and how far its weights can be trusted."""
    sums, trusts = [], []
    for log_weight, _ in importance_samples(vae, batch, noise, num_samples):
        sums.append(log_weight.logsumexp(0))
        trusts.append(Trust.of(log_weight))
    return torch.cat(sums) - math.log(num_samples), join_trust(trusts)


def importance_samples(
    vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int, chunk_rows: int = CHUNK_ROWS
) -> Iterator[ImportanceSamples]:
    """The weights of exactly `num_samples` samples of q for each datum, for a few data after another.

    Memory is that of one chunk and its weights, however many data there are; a datum's samples depend on the
    noise's seed and the datum's number alone. A chunk that memory does not hold is halved, with a warning.

    Args:
        vae: The model, on any device.
        batch: `B` data.
        noise: Source of evaluation noise.
        num_samples: `K`, at least 1.
        chunk_rows: Decoder rows at a time, at least 1.

    Raises:
        ValueError: If a number is below 1.
    """
    for name, value in {"num_samples": num_samples, "chunk_rows": chunk_rows}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    _keep_memory(batch.x.device)
    start = 0
    while start < len(batch.x):
        rows = max(1, min(chunk_rows // EVALUATION_BLOCK, MAX_WEIGHTS // num_samples))
        some = batch.take(slice(start, start + rows))
        try:
            samples = _sampled(vae, some, noise, num_samples, chunk_rows)
        except (RuntimeError, MemoryError) as error:
            if chunk_rows == 1 or not _is_out_of_memory(error):
                raise
            chunk_rows //= 2
            _say_halved(chunk_rows)
            continue
        yield samples
        start += rows


def _keep_memory(device: torch.device) -> None:
    """Lets glibc keep what is freed between two chunks; else half of the time goes to zeroing pages anew.

    Its threshold for handing memory back follows the largest piece that it has seen freed, up to 32 MiB.
    """
    if device.type == "cpu":
        torch.empty(31 * 2**20, dtype=torch.uint8)


@torch.no_grad()
def _sampled(
    vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int, chunk_rows: int
) -> ImportanceSamples:
    q = vae.encode(batch)
    # Filled in place: small results kept between large ones would keep the allocator from reusing memory.
    samples = torch.empty(2, num_samples, len(batch.x), dtype=torch.float64, device=batch.x.device)
    for block, start in enumerate(range(0, num_samples, EVALUATION_BLOCK)):
        size = min(EVALUATION_BLOCK, num_samples - start)
        eps = batch.draw(noise, vae.posterior_noise(size), "importance", block)["posterior"]
        at_a_time = max(1, chunk_rows // len(batch.x))
        for place in range(0, size, at_a_time):
            _weigh(vae, batch.x, q, eps[place : place + at_a_time], samples[:, start + place : start + size])
    return ImportanceSamples(*samples)


def _weigh(vae: VAE, x: Tensor, q: PosteriorDistribution, eps: Tensor, samples: Tensor) -> None:
    """Writes log weights and log p(x|z) of some samples into the first rows of `samples`, `(2, K, B)`."""
    z = q.transform(eps)
    reconstruction = vae.decode(z).log_prob(x)
    samples[0, : len(eps)] = reconstruction + vae.prior.log_prob(z) - q.log_prob(z)
    samples[1, : len(eps)] = reconstruction


def _is_out_of_memory(error: BaseException) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or "allocate memory" in str(error) or "enough memory" in str(error)


def _say_halved(rows: int) -> None:
    warnings.warn(
        f"memory does not hold {2 * rows} decoder rows; the rest goes on with {rows}.", stacklevel=3
    )
