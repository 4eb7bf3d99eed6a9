"""The reparameterised gradient with a quadratic control variate."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.expansion import expand
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch


class Taylor(SingleSampleEstimator):
    r"""The reparameterised gradient less that of the second-order Taylor expansion h of f at the mean of q.

    $$\frac1K \sum_k \nabla_\phi [f(z_k) - h(z_k)] + \nabla_\phi E_q[h(z)], \quad
      z_k = g_\phi(\epsilon_k, x)$$

    For a Gaussian, with g and H the gradient and the Hessian of f at the mean, the control variates of the
    gradients by mean and scale are $H \sigma \epsilon$ and
    $(g + H \sigma \epsilon) \epsilon - \mathrm{diag}(H) \sigma$, both of expectation zero: the first-order
    expansion of $\nabla f$. The variance is 0 where f is quadratic.

    f is the learning signal of `ScoreFunction`: log p(x|z), or the log-weight, or log p(x, z), by `kl`. The
    score of log q inside f, whose expectation is zero, is dropped, as by `StickingTheLanding`. The Hessian
    takes one pass through the decoder at the mean, and D backward ones.

    References:
        Reducing Reparameterization Gradient Variance (Miller, Foti, D'Amour & Adams, 2017), the form with
        the full Hessian.

    Args:
        num_samples: `K`, at least 1.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {
        Needs.REPARAMETERIZED_POSTERIOR,
        Needs.FACTORISED_POSTERIOR,
        Needs.POSTERIOR_MOMENTS,
    }

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        bound = surrogate = terms.bound(self.weight)
        if torch.is_grad_enabled():
            density = q.detach()
            h = expand(lambda centre: self.learning_signal(vae, batch.x, centre, density), q.mean)
            surrogate = surrogate - h(z).mean(0) + h.expectation(q)
        return Estimate(surrogate, bound.detach(), terms.report(self.weight))
