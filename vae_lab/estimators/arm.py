"""Gradients for binary latent variables from antithetic pairs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch


class ARM(SingleSampleEstimator):
    r"""Augment-REINFORCE-merge: the difference of f between two values made of one uniform vector.

    $$\nabla_{l_d} = (f(z) - f(z')) (u_d - \tfrac12), \quad
      z_d = 1[u_d > \sigma(-l_d)], \; z'_d = 1[u_d < \sigma(l_d)]$$

    Both values are samples of q, dependent on each other; the parameters of p get the mean of their ordinary
    gradients. The learning signal f is that of `ScoreFunction`. Two passes through the decoder per sample.

    References:
        ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks (Yin & Zhou, 2019), theorem 1.

    Args:
        num_samples: `K` pairs per datum, at least 1.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {Needs.BINARY_LATENTS, Needs.UNPAIRED_NOISE}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        u = noise["posterior"]
        pair = q.transform(torch.cat([u, 1 - u]))
        terms = self.bound_terms(vae, batch.x, pair, q, density=q.detach())
        first, second = terms.objective(self.weight).detach().split(len(u))
        (logits,) = q.parameters
        z, other = pair.split(len(u))
        coefficients = self.coefficients(u, z, other, logits.detach())
        surrogate_q = (first - second) * (coefficients * logits).sum(-1)
        bound = terms.bound(self.weight)
        return Estimate(surrogate_q.mean(0) + bound, bound.detach(), terms.report(self.weight))

    def coefficients(self, u: Tensor, z: Tensor, other: Tensor, logits: Tensor) -> Tensor:
        """By what the difference of f is multiplied for each logit, `(K, B, D)`."""
        return u - 0.5
