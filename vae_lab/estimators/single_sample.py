"""What the estimators of the single-sample bound share: the forms of the KL term."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimator
from vae_lab.noise import NoiseSpec
from vae_lab.posteriors.base import Conditional
from vae_lab.vae import VAE, Batch

KL = Literal["analytic", "sampled", "entropy"]


class BoundTerms(NamedTuple):
    """The evidence lower bound of each datum, split into what is sampled and what is in closed form.

    Args:
        log_likelihood: log p(x|z), `(K, B)`.
        sampled_kl: The part of the KL term that depends on the sample, `(K, B)`.
        exact_kl: The part in closed form, `(B,)`.
    """

    log_likelihood: Tensor
    sampled_kl: Tensor
    exact_kl: Tensor

    def report(self, beta: float) -> dict[str, Tensor]:
        """The bound and its two terms, averaged over samples, without gradients."""
        reconstruction = self.log_likelihood.detach().mean(0)
        kl = self.sampled_kl.detach().mean(0) + self.exact_kl.detach()
        terms = {"reconstruction": reconstruction, "kl": kl, "elbo": reconstruction - kl}
        return terms if beta == 1 else terms | {"beta_elbo": reconstruction - beta * kl}


class SingleSampleEstimator(Estimator):
    r"""An estimator of the gradient of $E_q[\log p(x|z)] - \beta\, \mathrm{KL}(q(z|x) \,\|\, p(z))$.

    Args:
        num_samples: `K`, samples per datum over which the estimate is averaged, at least 1.
        kl: `analytic` takes the KL term in closed form (estimator B of the paper), `sampled` estimates it by
            log q(z|x) - log p(z) (estimator A), `entropy` by -H(q) - log p(z).
        beta: Weight of the KL term, not negative; 1 gives the evidence lower bound.

    Raises:
        ValueError: If `num_samples` is below 1 or `beta` below 0.
    """

    def __init__(self, num_samples: int = 1, kl: KL = "analytic", beta: float = 1.0) -> None:
        super().__init__()
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1, got {num_samples}.")
        if not beta >= 0:
            raise ValueError(f"beta must not be negative, got {beta}.")
        self.num_samples = num_samples
        self.kl = kl
        self.beta = beta
        self.target = "elbo" if beta == 1 else f"elbo, beta = {beta:g}"

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        return {"posterior": NoiseSpec(vae.posterior.noise_law, self.num_samples, (vae.latent_dim,))}

    def check(self, vae: VAE) -> None:
        if self.kl == "analytic" and not vae.posterior.has_analytic_kl(vae.prior):
            raise ValueError(
                f"kl=analytic has no closed form from {type(vae.posterior).__name__} to "
                f"{type(vae.prior).__name__}; use kl=sampled."
            )
        if self.kl == "entropy" and not vae.posterior.has_entropy:
            raise ValueError(
                f"kl=entropy has no closed form for {type(vae.posterior).__name__}; use kl=sampled."
            )

    def bound_terms(self, vae: VAE, x: Tensor, z: Tensor, q: Conditional, density: Conditional) -> BoundTerms:
        """The terms at samples `z`; log q is that of `density`: `q` itself, or `q` cut from the graph."""
        log_likelihood = vae.decode(z).log_prob(x)
        if self.kl == "analytic":
            return BoundTerms(log_likelihood, torch.zeros_like(log_likelihood), q.kl(vae.prior).sum(-1))
        if self.kl == "entropy":
            return BoundTerms(log_likelihood, -vae.prior.log_prob(z), -q.entropy())
        sampled_kl = density.log_prob(z) - vae.prior.log_prob(z)
        return BoundTerms(log_likelihood, sampled_kl, torch.zeros_like(log_likelihood[0]))
