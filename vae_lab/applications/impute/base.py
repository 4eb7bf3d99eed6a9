"""The base of ways to impute."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.models.vae import VAE
from vae_lab.noise import NoiseSpec


class Imputed(NamedTuple):
    """Data whose missing pixels are imputed; those that are observed are as they were.

    Args:
        mean: With an estimate of E[x_miss|x_obs], `(B, *data_shape)`.
        draws: With several draws of x_miss, `(M, B, *data_shape)`.
        diagnostics: What tells how far to trust them, each `(B,)`.
    """

    mean: Tensor
    draws: Tensor
    diagnostics: Mapping[str, Tensor] = MappingProxyType({})


def joined(parts: Sequence[Imputed]) -> Imputed:
    """Imputations of all data by one way, joined from those of batches; on the CPU."""
    of_all = {
        name: torch.cat([part.diagnostics[name] for part in parts]).cpu() for name in parts[0].diagnostics
    }
    return Imputed(
        torch.cat([part.mean for part in parts]).cpu(),
        torch.cat([part.draws for part in parts], dim=1).cpu(),
        of_all,
    )


def pixel_spec(vae: VAE, data_shape: torch.Size, num_samples: int) -> NoiseSpec:
    """The noise of several draws of p(x|z).

    Raises:
        ValueError: If the likelihood cannot be sampled.
    """
    return vae.likelihood.sample_spec(data_shape)._replace(num_samples=num_samples)
