"""What a posterior family offers."""

from typing import Protocol

from torch import Tensor, nn

from vae_lab.noise import Law
from vae_lab.priors.base import Prior


class Conditional(Protocol):
    """q(z|x) for a batch of data: a distribution whose parameters have shape `(B, D)`."""

    @property
    def mean(self) -> Tensor:
        """E[z] of shape `(B, D)`."""
        ...

    def transform(self, eps: Tensor) -> Tensor:
        """z = g(eps, x) of shape `(K, B, D)` for base noise `(K, B, D)`."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) of shape `(K, B)`, in nats."""
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
        num_outputs: How many numbers per datum the encoder must give.
        noise_law: Base law of the noise that `transform` takes.
    """

    num_outputs: int
    noise_law: Law

    def has_analytic_kl(self, prior: Prior) -> bool:
        """Whether KL(q || prior) has the closed form that `kl: analytic` needs."""
        return False
