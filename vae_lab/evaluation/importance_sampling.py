"""The importance-weighted estimate of the marginal log-likelihood."""

import math

import torch
from torch import Tensor

from vae_lab.noise import EVALUATION_BLOCK, NoiseSource, NoiseSpec
from vae_lab.vae import VAE, Batch

CHUNK_ROWS = 2000  # decoder rows at a time: as many as stay in a CPU's cache


@torch.no_grad()
def importance_weighted_log_likelihood(
    vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int
) -> Tensor:
    r"""A lower bound of log p(x), in nats per datum, that tightens with `num_samples`.

    $$L_K = \log \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x)$$

    Memory is constant in `K`; a datum's value depends on the noise's seed and the datum's number alone.

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
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
    rows = max(1, CHUNK_ROWS // EVALUATION_BLOCK)
    parts = [
        _log_likelihood(vae, Batch(x, indices), noise, num_samples)
        for x, indices in zip(batch.x.split(rows), batch.indices.split(rows), strict=True)
    ]
    return torch.cat(parts)


def _log_likelihood(vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int) -> Tensor:
    q = vae.encode(batch)
    log_sum = torch.full((len(batch.x),), -math.inf, dtype=torch.float64, device=batch.x.device)
    for block, start in enumerate(range(0, num_samples, EVALUATION_BLOCK)):
        size = min(EVALUATION_BLOCK, num_samples - start)
        spec = {"posterior": NoiseSpec(vae.posterior.noise_law, size, (vae.latent_dim,))}
        eps = noise.evaluation(
            spec,
            purpose="importance",
            indices=batch.indices,
            block=block,
            device=batch.x.device,
            dtype=batch.x.dtype,
        )
        log_weight = vae.log_weight(batch.x, q.transform(eps["posterior"]), q).double()
        log_sum = torch.logaddexp(log_sum, log_weight.logsumexp(0))
    return log_sum - math.log(num_samples)
