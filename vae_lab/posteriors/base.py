"""What a posterior family offers."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from vae_lab.noise import Law
from vae_lab.priors.base import Prior


class Conditional(Protocol):
    """q(z|x) for a batch of data: a distribution whose parameters have shape `(B, D)`."""

    @property
    def mean(self) -> Tensor:
        """E[z] of shape `(B, D)`; where it has no closed form, a z near the middle of q."""
        ...

    def transform(self, eps: Tensor) -> Tensor:
        """z = g(eps, x) of shape `(K, B, D)` for base noise `(K, B, D)`."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) of shape `(K, B)`, in nats."""
        ...

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The parameters, each of shape `(B, D)`, from which `type(q)(*parameters)` makes q again."""
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

    def detach(self) -> "Conditional":
        """The same distribution with its parameters cut from the graph."""
        ...


class Posterior(nn.Module):
    """A family of distributions, called with the encoder's outputs to give a `Conditional`.

    Attributes:
        outputs: What the encoder must give for each datum, in order: how many numbers for which parameter.
        noise_law: Base law of the noise that `transform` takes.
        is_reparameterized: Whether gradients pass through `transform` to the parameters.
        factorises: Whether q(z|x) is a product over the latent dimensions.
        layer_dims: The sizes of the layers of latent variables; empty for a single layer.
        has_entropy: Whether its entropy has a closed form.
        has_mean: Whether its mean has a closed form.
    """

    outputs: dict[str, int]
    noise_law: Law
    is_reparameterized: bool = True
    factorises: bool = True
    has_entropy: bool = True
    has_mean: bool = True
    layer_dims: Sequence[int] = ()

    @property
    def num_outputs(self) -> int:
        """How many numbers per datum the encoder must give."""
        return sum(self.outputs.values())

    def has_analytic_kl(self, prior: Prior) -> bool:
        """Whether KL(q || prior) has the closed form that `kl: analytic` needs."""
        return False
