"""Which latent dimensions a model uses."""

from torch import Tensor

THRESHOLD = 1e-2


def active_units(posterior_means: Tensor, threshold: float = THRESHOLD) -> int:
    r"""The number of latent dimensions whose posterior mean varies over the data.

    $$A_d = \mathrm{Var}_x(E_{q(z|x)}[z_d]) > 10^{-2}$$

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.1.

    Args:
        posterior_means: E[z] of every datum, `(N, D)`.
        threshold: The variance above which a dimension counts as active.

    Example:
        >>> import torch
        >>> active_units(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        1
    """
    return int((posterior_means.double().var(0, correction=0) > threshold).sum())
