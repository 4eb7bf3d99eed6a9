"""Normalising flows as posteriors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.networks.fixed import fixed
from vae_lab.noise import BaseDistribution
from vae_lab.numerics.precision import without_autocast


class _Pass(nn.Module):
    """One way through a flow, given the encoder's outputs: from noise to z, or from z to log q(z|x)."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, context: Tensor, value: Tensor, to_z: bool) -> Tensor:
        with without_autocast(value):  # a log-determinant is part of each layer
            q: Any = self.flow(context)
            result: Tensor = q.transform.inv(value) if to_z else q.log_prob(value)
        return result


@dataclass(frozen=True)
class FlowConditional:
    """The flow for data whose encoder gave the context `(B, C)`."""

    context: Tensor
    through: Callable[[Tensor, Tensor, bool], Tensor]
    detached: Callable[[Tensor, Tensor, bool], Tensor]
    latent_dim: int

    @property
    def mean(self) -> Tensor:
        """Where the flow takes the middle of its noise."""
        return self.transform(self.context.new_zeros(1, len(self.context), self.latent_dim))[0]

    @property
    def std(self) -> None:
        """None, as it has no closed form."""

    def transform(self, eps: Tensor) -> Tensor:
        return self.through(self.context, eps, True)

    def log_prob(self, z: Tensor) -> Tensor:
        of_each = z.expand(*z.shape[:-2], len(self.context), z.shape[-1])  # as one z may be asked of all
        return self.through(self.context, of_each, False)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """Refused: what the encoder gives is of no dimension."""
        raise ValueError("a flow has no parameters of single dimensions.")

    def with_parameters(self, *parameters: Tensor) -> "FlowConditional":
        """Refused, likewise."""
        raise ValueError("a flow has no parameters of single dimensions.")

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """Refused, as it is no sum over dimensions."""
        raise ValueError("the density of a flow is no sum over its dimensions.")

    def entropy(self) -> Tensor:
        """Refused, as it has no closed form."""
        raise ValueError("kl=entropy has no closed form for a flow; use kl=sampled.")

    def kl(self, prior: Prior) -> Tensor:
        """Refused, as it has no closed form."""
        raise ValueError("kl=analytic has no closed form for a flow; use kl=sampled.")

    def detach(self) -> "FlowConditional":
        return FlowConditional(self.context.detach(), self.detached, self.detached, self.latent_dim)


class Flow(Posterior):
    r"""A normalising flow of coupling layers by zuko, given the encoder's outputs h(x).

    $$z = f_{h(x)}^{-1}(\epsilon), \quad
      \log q(z|x) = \log N(f_{h(x)}(z); 0, I) + \log |\det f_{h(x)}'(z)|$$

    Each layer changes one half of the latent variables by a function of the other half and of h(x), so that
    samples and densities cost two passes of its network at most.

    References:
        Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), equation 15; Density
        estimation using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017), section 3.2; Neural spline
        flows (Durkan et al., 2019).

    Args:
        latent_dim: `D`, at least 2.
        kind: `affine` couplings, or `spline` ones.
        num_transforms: At least 1.
        hidden: Widths of the layers' networks.
        context: How many numbers the encoder gives, at least 1.

    Raises:
        ImportError: If zuko is not installed.
        ValueError: If a number is out of its range.
    """

    base_distribution: BaseDistribution = "normal"
    factorises = False
    has_entropy = False
    has_mean = False
    has_terms = False

    def __init__(
        self,
        latent_dim: int,
        kind: Literal["affine", "spline"] = "affine",
        num_transforms: int = 4,
        hidden: Sequence[int] = (64,),
        context: int = 32,
    ) -> None:
        super().__init__()
        try:
            from zuko.flows import MAF, NSF
        except ImportError as error:
            raise ImportError("a flow needs zuko: pip install 'vae-lab[flows]'.") from error
        for name, value, least in (
            ("latent_dim", latent_dim, 2),
            ("num_transforms", num_transforms, 1),
            ("context", context, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}.")
        if any(width < 1 for width in hidden):
            raise ValueError(f"hidden must hold widths of at least 1, got {list(hidden)}.")
        made = MAF if kind == "affine" else NSF
        self.latent_dim = latent_dim
        self.outputs = {"context": context}
        self.through = _Pass(
            made(latent_dim, context, transforms=num_transforms, hidden_features=list(hidden), passes=2)
        )

    def forward(self, outputs: Tensor) -> FlowConditional:
        return FlowConditional(outputs, self.through, partial(fixed, self.through), self.latent_dim)
