"""Which latent dimensions a model uses."""

import torch
from torch import Tensor

THRESHOLD = 1e-2


class ActiveUnits:
    r"""Counts the latent dimensions whose posterior mean varies over the data.

    $$A_d = \mathrm{Var}_x(E_{q(z|x)}[z_d]) > 10^{-2}$$

    References:
        Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), section 5.1.

    Args:
        latent_dim: `D`.

    Example:
        >>> units = ActiveUnits(latent_dim=2)
        >>> units.add(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
        >>> units.count(units.sums)
        1
    """

    def __init__(self, latent_dim: int) -> None:
        self.sums = torch.zeros(3, latent_dim, dtype=torch.float64)  # number, sum and sum of squares

    def add(self, posterior_means: Tensor) -> None:
        """Adds E[z] of some data, `(B, D)`."""
        means = posterior_means.detach().double().cpu()
        self.sums += torch.stack([torch.ones_like(means), means, means.square()]).sum(1)

    def count(self, sums: Tensor, threshold: float = THRESHOLD) -> int:
        """The number of active dimensions, from sums that may come from several processes."""
        number, total, squares = sums
        return int((squares / number - (total / number).square() > threshold).sum())
