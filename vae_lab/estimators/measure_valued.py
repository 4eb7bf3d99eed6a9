"""The measure-valued gradient."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import SingleSampleEstimator
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class MeasureValued(SingleSampleEstimator):
    r"""The measure-valued (weak) derivative of a Gaussian: differences of the signal f at perturbed samples.

    With $\mu_d + \sigma_d v$ in the place of coordinate d of a sample, written f(v),

    $$\frac{\partial}{\partial \mu_d}: \frac{f(W) - f(-W)}{\sigma_d \sqrt{2\pi}}, \quad
      \frac{\partial}{\partial \sigma_d}: \frac{f(M) - f(\epsilon_d)}{\sigma_d},$$

    where W follows the Rayleigh distribution, Weibull(sqrt 2, 2), M the double-sided Maxwell distribution,
    and $\epsilon_d$ is the sample's own normal noise. Coupling makes the differences small: W is the same on
    both sides; and with three independent normals, $W = |(n_2, n_3)|$ and
    $M = \mathrm{sign}(n_1) |(n_1, n_2, n_3)|$ with $n_1 = \epsilon_d$, for a coordinate of a normal vector is
    its length times a uniform number (Archimedes). So a sample takes 3 D + 1
    passes through the decoder, and no derivative of f.

    f is the learning signal of `ScoreFunction`: log p(x|z), or the log-weight, or log p(x, z), by `kl`.
    Parameters of p get their ordinary gradient at the sample itself. Of antithetic pairs, both have the same
    W, and opposite M.

    References:
        Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section
        6, and section 7 for the coupling.

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

    requires = SingleSampleEstimator.requires | {Needs.GAUSSIAN_POSTERIOR}

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        perturbation = NoiseSpec("normal", self.num_samples, (2, vae.latent_dim))
        return super().noise_spec(vae, batch) | {"perturbation": perturbation}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        beta = self.weight
        signal = terms.objective(beta)
        surrogate = signal
        if torch.is_grad_enabled():
            density = q.detach()
            with torch.no_grad():
                of_mean, of_log_scale = _derivatives(
                    lambda near: self.learning_signal(vae, batch.x, near, density), signal, z, density, noise
                )
            mean, log_scale = q.parameters
            surrogate = surrogate + (of_mean * mean + of_log_scale * log_scale).sum(-1)
        surrogate = surrogate.mean(0) - beta * terms.penalty
        return Estimate(surrogate, terms.bound(beta).detach(), terms.report(beta))


def _derivatives(
    f: Callable[[Tensor], Tensor],
    signal: Tensor,
    z: Tensor,
    q: PosteriorDistribution,
    noise: Mapping[str, Tensor],
) -> tuple[Tensor, Tensor]:
    """Estimates of the derivatives by mean and log-scale, `(K, B, D)`; `signal` is f(z)."""
    eps, others = noise["posterior"], noise["perturbation"]
    square = others.square().sum(-2)
    rayleigh, maxwell = square.sqrt(), (square + eps.square()).sqrt().copysign(eps)
    perturbed = q.transform(torch.stack([rayleigh, -rayleigh, maxwell]).flatten(0, 1)).unflatten(0, (3, -1))
    of_mean, of_log_scale = [], []
    for own in torch.eye(z.shape[-1], dtype=torch.bool, device=z.device):  # one at a time, for the memory
        above, below, wide = f(torch.where(own, perturbed, z).flatten(0, 1)).unflatten(0, (3, -1))
        of_mean.append(above - below)
        of_log_scale.append(wide - signal)
    _, log_scale = q.parameters
    scale = math.sqrt(2 * math.pi) * log_scale.exp()
    return torch.stack(of_mean, dim=-1) / scale, torch.stack(of_log_scale, dim=-1)
