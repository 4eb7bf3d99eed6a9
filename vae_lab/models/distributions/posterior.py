"""Posterior families q(z|x), and the distribution that one gives."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from vae_lab.models.distributions.prior import Prior, Support
from vae_lab.noise import BaseDistribution


class PosteriorDistribution(Protocol):
    """q(z|x) for a batch of data: a distribution whose parameters have shape `(B, D)`."""

    @property
    def mean(self) -> Tensor:
        """E[z] of shape `(B, D)`; where it has no closed form, a z near the middle of q."""
        ...

    @property
    def std(self) -> Tensor | None:
        """The standard deviation of each z_d, `(B, D)`; None where there is none in closed form."""
        ...

    def transform(self, eps: Tensor) -> Tensor:
        """z = g(eps, x) of shape `(K, B, D)` for base noise `(K, B, D)`."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) of shape `(K, B)`, in nats."""
        ...

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The parameters, each of shape `(B, D)`."""
        ...

    def with_parameters(self, *parameters: Tensor) -> "PosteriorDistribution":
        """The same family with other parameters, which may have a dimension of samples in front."""
        ...

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """The terms of `log_prob`, one for each dimension, `(K, B, D)`."""
        ...

    def entropy(self) -> Tensor:
        """H(q) of shape `(B,)`, in nats."""
        ...

    def kl(self, prior: Prior) -> Tensor:
        """KL(q || prior) of shape `(B, D)` per latent dimension, in nats."""
        ...

    def detach(self) -> "PosteriorDistribution":
        """The same distribution with its parameters cut from the graph."""
        ...


class Posterior(nn.Module):
    """A family of distributions, called with the encoder's outputs to give a `PosteriorDistribution`.

    Attributes:
        outputs: What the encoder must give for each datum, in order: how many numbers for which parameter.
        base_distribution: Base distribution of the noise that `transform` takes.
        is_reparameterized: Whether gradients pass through `transform` to the parameters.
        factorises: Whether q(z|x) is a product over the latent dimensions.
        layer_dims: The sizes of the layers of latent variables; empty for a single layer.
        has_entropy: Whether its entropy has a closed form.
        has_mean: Whether its mean has a closed form.
        has_terms: Whether `log_prob` is a sum over the latent dimensions, each given others.
        support: Which numbers the latent variables are.
    """

    outputs: dict[str, int]
    base_distribution: BaseDistribution
    is_reparameterized: bool = True
    factorises: bool = True
    has_entropy: bool = True
    has_mean: bool = True
    has_terms: bool = True
    layer_dims: Sequence[int] = ()
    support: Support = "real"

    @property
    def num_outputs(self) -> int:
        """How many numbers per datum the encoder must give."""
        return sum(self.outputs.values())

    def check(self, prior: Prior) -> None:
        """Raises `ValueError` if KL(q || prior) is infinite whatever the parameters."""
        if self.support != prior.support:
            raise ValueError(
                f"{type(self).__name__} has {self.support} latent variables and {type(prior).__name__} "
                f"{prior.support} ones."
            )

    def has_analytic_kl(self, prior: Prior) -> bool:
        """Whether KL(q || prior) has the closed form that `kl: analytic` needs."""
        return False
