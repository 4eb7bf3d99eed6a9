"""Distributions of discrete latent variables: Bernoulli and categorical."""

from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from vae_lab.noise import open_interval


@dataclass(frozen=True)
class DiscreteDistribution:
    """A product of distributions with finitely many values; a value is what perturbed logits harden to.

    Args:
        logits: `(B, D)`, or `(D,)` for all data.
    """

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        """E[z], in the places of the logits."""
        raise NotImplementedError

    @property
    def std(self) -> Tensor:
        """The standard deviation of each number of z."""
        raise NotImplementedError

    @property
    def parameters(self) -> tuple[Tensor]:
        return (self.logits,)

    def with_parameters(self, *parameters: Tensor) -> Self:
        return replace(self, logits=parameters[0])

    def perturbed(self, eps: Tensor) -> Tensor:
        """Logits moved by noise made of uniform `eps`, `(K, B, D)`."""
        raise NotImplementedError

    def perturbed_given(self, z: Tensor, eps: Tensor) -> Tensor:
        """Perturbed logits given the value z that they have, from uniform noise of their own."""
        raise NotImplementedError

    def harden(self, perturbed: Tensor) -> Tensor:
        """The value of perturbed logits; no gradient passes."""
        raise NotImplementedError

    def relax(self, perturbed: Tensor, temperature: float | Tensor) -> Tensor:
        """The value relaxed to numbers between 0 and 1."""
        raise NotImplementedError

    def transform(self, eps: Tensor) -> Tensor:
        return self.harden(self.perturbed(eps))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.log_prob_per_dimension(z).sum(-1)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """The terms of `log_prob`, linear in z, also between the values."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """H of shape `(B,)`, in nats."""
        raise NotImplementedError

    def kl(self, prior: Any) -> Tensor:
        """KL(q || p) of shape `(B, D)`, given p's distribution."""
        raise NotImplementedError

    def detach(self) -> Self:
        return self.with_parameters(self.logits.detach())


@dataclass(frozen=True)
class BernoulliDistribution(DiscreteDistribution):
    r"""Independent $z_d \in \{0, 1\}$ with $P(z_d = 1) = \sigma(l_d)$.

    A value is the sign of a perturbed logit, $z = 1[l + \mathrm{logit}(u) > 0]$ with $u \sim U(0, 1)$; the
    perturbed logit over a temperature, through a sigmoid, is a relaxed value, of which z is the limit.

    References:
        The Concrete Distribution (Maddison, Mnih & Teh, 2017), appendix B.

    Args:
        logits: $l$, `(B, D)`, or `(D,)` for all data.
    """

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def std(self) -> Tensor:
        return (0.5 * (logsigmoid(self.logits) + logsigmoid(-self.logits))).exp()

    def perturbed(self, eps: Tensor) -> Tensor:
        """Logits moved by logistic noise, made of uniform `eps`."""
        return self.logits + open_interval(eps).logit()

    def perturbed_given(self, z: Tensor, eps: Tensor) -> Tensor:
        """Perturbed logits given the value z that they have, from uniform noise of their own.

        References:
            REBAR (Tucker et al., 2017), appendix C.
        """
        noise = open_interval(eps).logit()
        above, below = softplus(noise + softplus(self.logits)), -softplus(noise + softplus(-self.logits))
        return torch.where(z > 0.5, above, below)

    def harden(self, perturbed: Tensor) -> Tensor:
        """The value of perturbed logits; no gradient passes."""
        return (perturbed > 0).to(perturbed)

    def relax(self, perturbed: Tensor, temperature: float | Tensor) -> Tensor:
        """The value relaxed to numbers between 0 and 1."""
        return (perturbed / temperature).sigmoid()

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """Linear in z, also between the values."""
        return z * self.logits - softplus(self.logits)

    def entropy(self) -> Tensor:
        return (softplus(self.logits) - self.mean * self.logits).sum(-1)

    def kl(self, prior: Any) -> Tensor:
        """KL(q || p) of each dimension, given p's distribution."""
        other = prior.distribution.logits
        return self.mean * (self.logits - other) - softplus(self.logits) + softplus(other)


@dataclass(frozen=True)
class CategoricalDistribution(DiscreteDistribution):
    r"""Independent one-hot vectors side by side, each of `C` numbers of which one is 1.

    A value is the largest of perturbed logits, $\arg\max_c (\log \pi_c - \log(-\log u_c))$; the perturbed
    logits over a temperature, through a softmax, are a relaxed value, of which z is the limit.

    References:
        Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), equations 1 and 2.

    Args:
        logits: `(B, D)`, or `(D,)` for all data; up to a constant for each vector.
        num_categories: `C`, of which `D` is a multiple.
    """

    num_categories: int

    @property
    def log_probs(self) -> Tensor:
        """log pi, in the places of the logits."""
        log_probs = self._vectors(self.logits).log_softmax(-1).flatten(-2)
        return log_probs.clamp_min(torch.finfo(log_probs.dtype).min)  # as 0 times -inf is no number

    @property
    def mean(self) -> Tensor:
        return self.log_probs.exp()

    @property
    def std(self) -> Tensor:
        return (self.mean * (1 - self.mean)).sqrt()

    def perturbed(self, eps: Tensor) -> Tensor:
        """Log-probabilities moved by Gumbel noise, made of uniform `eps`."""
        return self.log_probs + _gumbel(eps)

    def perturbed_given(self, z: Tensor, eps: Tensor) -> Tensor:
        """Perturbed log-probabilities given the value z that they have, from uniform noise of their own.

        References:
            REBAR (Tucker et al., 2017), appendix C.
        """
        gumbel = _gumbel(eps)
        largest = self._vectors(gumbel * z).sum(-1, keepdim=True)
        largest = largest.expand(*largest.shape[:-1], self.num_categories).flatten(-2)
        others = -torch.logaddexp(-(self.log_probs + gumbel), -largest)
        return torch.where(z > 0.5, largest, others)

    def harden(self, perturbed: Tensor) -> Tensor:
        """The value of perturbed log-probabilities; no gradient passes."""
        largest = self._vectors(perturbed).argmax(-1, keepdim=True)
        numbers = torch.arange(self.num_categories, device=perturbed.device)
        return (largest == numbers).flatten(-2).to(perturbed)

    def relax(self, perturbed: Tensor, temperature: float | Tensor) -> Tensor:
        """The value relaxed to a point of the simplex."""
        return (self._vectors(perturbed) / temperature).softmax(-1).flatten(-2)

    def log_prob_per_dimension(self, z: Tensor) -> Tensor:
        """Linear in z, also between the values."""
        return z * self.log_probs

    def entropy(self) -> Tensor:
        return -(self.mean * self.log_probs).sum(-1)

    def kl(self, prior: Any) -> Tensor:
        """KL(q || p) given p's distribution, that of each vector in equal parts for its `C` numbers."""
        terms = self._vectors(self.mean * (self.log_probs - prior.distribution.log_probs))
        return terms.mean(-1, keepdim=True).expand(terms.shape).flatten(-2)

    def _vectors(self, values: Tensor) -> Tensor:
        return values.unflatten(-1, (-1, self.num_categories))


def _gumbel(eps: Tensor) -> Tensor:
    return -(-open_interval(eps).log()).log()
