"""How likely what is missing is, given what is observed."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.inference.importance_sampling import judged_log_likelihood
from vae_lab.models.observed import Fill, of_observed
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource


class HeldOut(NamedTuple):
    """log p(x_m|x_o) of each of `B` data, and whether importance weights behind it cannot be trusted.

    Args:
        log_likelihood: `(B,)` in float64, in nats.
        effective_sample_size: The lesser one of the two bounds, `(B,)`.
        in_doubt: `(B,)`.
    """

    log_likelihood: Tensor
    effective_sample_size: Tensor
    in_doubt: Tensor


def held_out_log_likelihood(
    vae: VAE, batch: Batch, missing: Tensor, fill: Fill, noise: NoiseSource, num_samples: int
) -> HeldOut:
    r"""$\log p(x_m|x_o) = \log p(x) - \log p(x_o)$ in nats per datum.

    Both by importance weighting with as many samples, from the same noise. Each is a lower bound; their
    difference is none, but goes to the truth as `num_samples` grows.

    Args:
        vae: The model, of all pixels.
        batch: `B` data, NaN for what is not known at all and counts in neither term.
        missing: The pixels that are held out, `(B, *data_shape)`.
        fill: What the encoder sees in their place.
        noise: Source of evaluation noise.
        num_samples: `K` of both bounds, at least 1.
    """
    observed = of_observed(vae, fill)
    seen = Batch(batch.x.masked_fill(missing, torch.nan), batch.indices)
    (whole, of_whole), (part, of_part) = (
        judged_log_likelihood(observed, each, noise, num_samples) for each in (batch, seen)
    )
    size = torch.minimum(of_whole.effective_sample_size, of_part.effective_sample_size)
    return HeldOut(whole - part, size, of_whole.in_doubt | of_part.in_doubt)
