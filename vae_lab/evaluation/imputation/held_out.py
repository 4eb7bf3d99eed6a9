"""How likely what is missing is, given what is observed."""

import torch
from torch import Tensor

from vae_lab.evaluation.importance_sampling import importance_weighted_log_likelihood
from vae_lab.incomplete import Fill, of_observed
from vae_lab.noise import NoiseSource
from vae_lab.vae import VAE, Batch


def held_out_log_likelihood(
    vae: VAE, batch: Batch, missing: Tensor, fill: Fill, noise: NoiseSource, num_samples: int
) -> Tensor:
    r"""$\log p(x_m|x_o) = \log p(x) - \log p(x_o)$, `(B,)` in float64, in nats per datum.

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
    whole, part = (
        importance_weighted_log_likelihood(observed, each, noise, num_samples) for each in (batch, seen)
    )
    return whole - part
