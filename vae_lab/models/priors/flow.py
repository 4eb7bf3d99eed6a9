"""Normalising flows as prior."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from vae_lab.models.distributions.prior import Prior
from vae_lab.noise import NoiseSpec
from vae_lab.numerics.precision import without_autocast


class Flow(Prior):
    r"""An autoregressive flow, by zuko: $\log p(z) = \log N(f(z); 0, I) + \log |\det f'(z)|$.

    The density takes one pass of the networks, a sample `D` of them.

    References:
        Masked autoregressive flow for density estimation (Papamakarios et al., 2017), equations 3 to 5;
        Neural spline flows (Durkan et al., 2019).

    Args:
        latent_dim: `D`.
        kind: `maf`, affine, or `nsf`, splines.
        num_transforms: At least 1.
        hidden: Widths of the networks' layers.

    Raises:
        ImportError: If zuko is not installed.
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        latent_dim: int,
        kind: Literal["maf", "nsf"] = "maf",
        num_transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        super().__init__()
        try:
            from zuko.flows import MAF, NSF
        except ImportError as error:
            raise ImportError("a flow needs zuko: pip install 'vae-lab[flows]'.") from error
        if num_transforms < 1:
            raise ValueError(f"num_transforms must be at least 1, got {num_transforms}.")
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden must hold widths of at least 1, got {list(hidden)}.")
        made = MAF if kind == "maf" else NSF
        self.latent_dim = latent_dim
        self.flow = made(latent_dim, transforms=num_transforms, hidden_features=list(hidden))

    def log_prob(self, z: Tensor) -> Tensor:
        with without_autocast(z):  # a log-determinant is part of each layer
            return self.flow().log_prob(z)

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec("normal", num_samples, (self.latent_dim,))

    def sample(self, eps: Tensor) -> Tensor:
        with without_autocast(eps):
            return self.flow().transform.inv(eps)
