"""The score-function gradient of discrete latent variables with a relaxation as its control variate."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.distributions.discrete import DiscreteDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class REBAR(SingleSampleEstimator):
    r"""The score-function gradient with the relaxed objective as a control variate.

    $$(f(z) - c(\tilde \zeta)) \nabla_l \log q(z) + \nabla_l c(\zeta) - \nabla_l c(\tilde \zeta), \quad
      c(\zeta) = \eta f(\sigma_\lambda(\zeta))$$

    $\zeta$ are the logits of q perturbed by noise, z the value that they make, $\tilde \zeta$ perturbed
    logits drawn anew among those that make z, and $\sigma_\lambda$ relaxes them. The estimate is unbiased for
    every scale $\eta$ and temperature $\lambda$, which the run's optimizer trains to lower the variance. The
    learning signal f is that of `ScoreFunction`.

    References:
        REBAR: Low-variance, unbiased gradient estimates for discrete latent variable models (Tucker et al.,
        2017), equation 4 and section 3.2.

    Args:
        temperature: $\lambda$ at the start, above 0.
        scale: $\eta$ at the start.
        num_samples: `K`, at least 1.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {Needs.DISCRETE_LATENTS}

    def __init__(
        self,
        temperature: float = 0.5,
        scale: float = 1.0,
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__(num_samples, kl, beta, warm_up, cycles, free_bits)
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        spec = super().noise_spec(vae, batch)
        return spec | {"given": spec["posterior"]}

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        assert isinstance(q, DiscreteDistribution)
        z = q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        bound = terms.bound(self.weight)
        if not torch.is_grad_enabled():
            return Estimate(bound, bound, terms.report(self.weight))
        signal = terms.objective(self.weight).detach()
        gradient = self._gradient(vae, batch, q.detach(), z, signal, noise)
        (logits,) = q.parameters
        surrogate_q = (gradient.detach() * logits).sum(-1).mean(0)
        variance = gradient.square().sum(-1).mean(0)  # up to the square of the mean, which is fixed
        return Estimate(surrogate_q + bound - variance, bound.detach(), terms.report(self.weight))

    def control(self, vae: VAE, x: Tensor, q: DiscreteDistribution, perturbed: Tensor) -> Tensor:
        """c at perturbed logits, `(K, B)`."""
        relaxed = q.relax(perturbed, self.log_temperature.exp())
        return self.scale * self.learning_signal(vae, x, relaxed, q)

    def _gradient(
        self,
        vae: VAE,
        batch: Batch,
        q: DiscreteDistribution,
        z: Tensor,
        signal: Tensor,
        noise: Mapping[str, Tensor],
    ) -> Tensor:
        """The estimates by the logits, `(K, B, D)`; their graph leads to the control variate alone."""
        model = vae.with_fixed_model()
        logits = q.parameters[0].expand(z.shape)

        def free(own: Tensor) -> Tensor:
            perturbed = q.with_parameters(own).perturbed(noise["posterior"])
            return self.control(model, batch.x, q, perturbed).sum()

        def given(own: Tensor) -> tuple[Tensor, Tensor]:
            perturbed = q.with_parameters(own).perturbed_given(z, noise["given"])
            control = self.control(model, batch.x, q, perturbed)
            return control.sum(), control

        by_given, control = torch.func.grad(given, has_aux=True)(logits)
        score = z - q.mean
        return (signal - control).unsqueeze(-1) * score + torch.func.grad(free)(logits) - by_given
