"""Variational autoencoders, compared.

Example:
    >>> import vae_lab
    >>> model = vae_lab.load("outputs/runs/04ab5e61e72d")  # doctest: +SKIP
    >>> model.sample(16).shape  # doctest: +SKIP
    torch.Size([16, 1, 8, 8])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vae_lab.trained.model import TrainedModel, load

__all__ = ["TrainedModel", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from vae_lab.trained import model  # imports torch, for which the command line need not wait

        return getattr(model, name)
    raise AttributeError(f"module 'vae_lab' has no attribute {name!r}")
