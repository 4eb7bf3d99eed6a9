"""The base of estimators of the single-sample bound: the forms of the KL term."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimator, Needs
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec

KL = Literal["analytic", "sampled", "entropy"]
CLOSED_FORMS = {"analytic": Needs.ANALYTIC_KL, "entropy": Needs.ENTROPY}


class BoundTerms(NamedTuple):
    """The evidence lower bound of each datum, split into what is sampled and what is in closed form.

    Args:
        log_likelihood: log p(x|z), `(K, B)`.
        sampled_kl: The part of the KL term that depends on the sample, `(K, B)`.
        exact_kl: The part in closed form, `(B,)`.
        penalty: What the objective has in place of `exact_kl`, `(B,)`.
    """

    log_likelihood: Tensor
    sampled_kl: Tensor
    exact_kl: Tensor
    penalty: Tensor

    def objective(self, beta: float) -> Tensor:
        """The objective of each sample, `(K, B)`: all but the part in closed form."""
        return self.log_likelihood - beta * self.sampled_kl

    def bound(self, beta: float) -> Tensor:
        """The objective of each datum, averaged over samples and with the part in closed form, `(B,)`."""
        return self.objective(beta).mean(0) - beta * self.penalty

    def report(self, beta: float) -> dict[str, Tensor]:
        """The bound and its two terms, averaged over samples, without gradients."""
        reconstruction = self.log_likelihood.detach().mean(0)
        kl = self.sampled_kl.detach().mean(0) + self.exact_kl.detach()
        terms = {"reconstruction": reconstruction, "kl": kl, "elbo": reconstruction - kl}
        return terms if beta == 1 else terms | {"beta_elbo": reconstruction - beta * kl}


class SingleSampleEstimator(Estimator):
    r"""An estimator of the gradient of $E_q[\log p(x|z)] - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))$.

    With free bits the KL term is $\sum_d \max(\lambda, \frac1B \sum_b \mathrm{KL}_{bd})$ over the minibatch.
    Validation and test have the final beta; `elbo`, by which models are selected, is always that with
    beta = 1 and without free bits.

    References:
        Ladder variational autoencoders (Sønderby et al., 2016), section 2.3, for the warm-up; Cyclical
        annealing schedule (Fu et al., 2019), equation 6; Improving variational inference with inverse
        autoregressive flow (Kingma et al., 2016), equation 15, for the free bits.

    Args:
        num_samples: `K`, samples per datum over which the estimate is averaged, at least 1.
        kl: `analytic` takes the KL term in closed form (estimator B of the paper), `sampled` estimates it by
            log q(z|x) - log p(z) (estimator A), `entropy` by -H(q) - log p(z).
        beta: Weight of the KL term, not negative; 1 gives the evidence lower bound.
        warm_up: Training samples over which the weight rises from 0 to `beta`; 0 for none.
        cycles: How often it rises so, staying at `beta` for as long in between.
        free_bits: lambda, nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    def __init__(
        self,
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in {"warm_up": warm_up, "free_bits": free_bits}.items():
            if not value >= 0:
                raise ValueError(f"{name} must not be negative, got {value}.")
        if cycles < 1:
            raise ValueError(f"cycles must be at least 1, got {cycles}.")
        if cycles > 1 and not warm_up:
            raise ValueError(f"cycles must be 1 without warm_up, got {cycles}.")
        if free_bits and kl != "analytic":
            raise ValueError(f"free_bits needs kl=analytic, the KL term of each dimension, got kl={kl}.")
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
        if not beta >= 0:
            raise ValueError(f"beta must not be negative, got {beta}.")
        self.num_samples = num_samples
        self.kl = kl
        self.beta = beta
        self.warm_up = warm_up
        self.cycles = cycles
        self.free_bits = free_bits
        self.requires |= {CLOSED_FORMS[kl]} if kl in CLOSED_FORMS else set()
        self.requires |= {Needs.WHOLE_BATCH} if free_bits else set()
        self.target = "elbo" if beta == 1 else f"elbo, beta = {beta:g}"
        self.target += f", {free_bits:g} free nats" if free_bits else ""
        conditions = [f"with {free_bits:g} free nats per latent dimension"] if free_bits else []
        conditions += [f"while beta rose to {beta:g} over {warm_up:,.0f} samples"] if warm_up else []
        conditions += [f"in {cycles} cycles"] if warm_up and cycles > 1 else []
        self.objective = f"trained {' '.join(conditions)}; elbo is that with beta = 1" if conditions else None

    @property
    def weight(self) -> float:
        """The weight of the KL term now: `beta`, unless a training is warming up."""
        if not self.warm_up or not self.training or self.samples is None:
            return self.beta
        cycle, position = divmod(self.samples, 2 * self.warm_up)
        return self.beta * (1.0 if cycle >= self.cycles else min(1.0, position / self.warm_up))

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        return vae.posterior_noise(self.num_samples)

    def bound_terms(
        self, vae: VAE, x: Tensor, z: Tensor, q: PosteriorDistribution, density: PosteriorDistribution
    ) -> BoundTerms:
        """The terms at samples `z`; log q is that of `density`: `q` itself, or `q` cut from the graph."""
        log_likelihood = vae.decode(z).log_prob(x)
        if self.kl == "analytic":
            kl_per_dimension = q.kl(vae.prior)
            kl = penalty = kl_per_dimension.sum(-1)
            if self.free_bits:
                penalty = kl_per_dimension.mean(0).clamp(min=self.free_bits).sum().expand_as(kl)
            return BoundTerms(log_likelihood, torch.zeros_like(log_likelihood), kl, penalty)
        if self.kl == "entropy":
            entropy = q.entropy()
            return BoundTerms(log_likelihood, -vae.prior.log_prob(z), -entropy, -entropy)
        sampled_kl = density.log_prob(z) - vae.prior.log_prob(z)
        none = torch.zeros_like(log_likelihood[0])
        return BoundTerms(log_likelihood, sampled_kl, none, none)

    def learning_signal(self, vae: VAE, x: Tensor, z: Tensor, density: PosteriorDistribution) -> Tensor:
        """f(z), what of the objective depends on the sample, `(K, B)`; log q is that of `density`."""
        return self.bound_terms(vae, x, z, density, density).objective(self.weight)
