"""Helpers for networks between layers of latent variables."""

from collections.abc import Callable, Sequence

from torch import Tensor

from vae_lab.numerics.precision import single


def over_last(network: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """A network of `(N, D)` applied along the last dimension of `(..., D)`."""
    return single(network(z.flatten(0, -2)).unflatten(0, z.shape[:-1]))


def check_layers(latent_dim: int, layer_dims: Sequence[int]) -> None:
    """Raises `ValueError` unless there are two layers or more that make up the latent dimensions."""
    if len(layer_dims) < 2 or min(layer_dims) < 1:
        raise ValueError(f"layer_dims must be at least two sizes of at least 1, got {list(layer_dims)}.")
    if (total := sum(layer_dims)) != latent_dim:
        raise ValueError(
            f"layer_dims must add up to latent_dim={latent_dim}, got {list(layer_dims)}: {total}."
        )
