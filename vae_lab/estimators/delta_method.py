"""The score-function gradient with a quadratic control variate."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.control_variate import scores, sum_of_others
from vae_lab.estimators.expansion import Quadratic, expand
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch


class DeltaMethod(SingleSampleEstimator):
    r"""The score-function gradient whose control variate is a quadratic approximation h of the signal f.

    $$\frac1K \sum_k \left[f(z_k) - a\, h(z_k)\right] \nabla_\phi \log q(z_k|x) + a \nabla_\phi E_q[h(z)],
      \quad z_k \sim q(z|x)$$

    h is the second-order Taylor expansion of f at the mean of q. With g and H the gradient and the Hessian of
    f there, its expected gradients are exact: $g$ by the mean of a Gaussian, and $\sigma_d H_{dd}$ by its
    scales. The variance is 0 where f is quadratic. f is the learning signal of `ScoreFunction`. No derivative
    passes through a sample, but f must have two: the Hessian takes one pass through the decoder at the mean,
    and D backward ones.

    With `optimal_scaling` the coefficient of each coordinate j of q's parameters is that of least variance,
    estimated from the datum's other samples. With $u = f s_j - e_j$ and $c = h s_j - e_j$, s being the score
    and e the exact expectation of h s,

    $$a_{kj} = \frac{\sum_{l \ne k} u_{lj} c_{lj}}{\sum_{l \ne k} c_{lj}^2}.$$

    The denominator comes near 0 with a probability that makes the variance infinite for fewer than 3 other
    samples.

    References:
        Variational Bayesian Inference with Stochastic Search (Paisley, Blei & Jordan, 2012), on control
        variates; Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020), section 7.

    Args:
        num_samples: `K`, at least 1; at least 4 for `optimal_scaling`.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.
        optimal_scaling: Estimates the coefficient, instead of taking 1.

    Raises:
        ValueError: If a number is out of its range, free bits meet another `kl`, or `num_samples` is below 4
            with `optimal_scaling`.
    """

    requires = SingleSampleEstimator.requires | {Needs.FACTORISED_POSTERIOR, Needs.POSTERIOR_MOMENTS}

    def __init__(
        self,
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
        optimal_scaling: bool = False,
    ) -> None:
        super().__init__(num_samples, kl, beta, warm_up, cycles, free_bits)
        if optimal_scaling and num_samples < 4:
            raise ValueError(
                f"num_samples must be at least 4 for optimal_scaling, got {num_samples}: a coefficient from "
                "fewer than 3 other samples has an infinite variance."
            )
        self.optimal_scaling = optimal_scaling
        self.requires |= {Needs.INDEPENDENT_SAMPLES} if optimal_scaling else set()

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        beta = self.weight
        bound = surrogate = terms.bound(beta)
        if torch.is_grad_enabled():
            density = q.detach()
            h = expand(lambda centre: self.learning_signal(vae, batch.x, centre, density), q.mean)
            surrogate = surrogate + self._of_posterior(terms.objective(beta).detach(), h, q, z).mean(0)
        return Estimate(surrogate, bound.detach(), terms.report(beta))

    def _of_posterior(self, signal: Tensor, h: Quadratic, q: PosteriorDistribution, z: Tensor) -> Tensor:
        """A surrogate `(K, B)` for q's parameters alone."""
        surrogate = torch.zeros_like(signal)
        for parameter, score, expected in zip(q.parameters, scores(q, z), _expected(h, q), strict=True):
            plain = signal.unsqueeze(-1) * score - expected
            control = h(z).unsqueeze(-1) * score - expected
            scaled = self._coefficient(plain, control) * control
            surrogate = surrogate + ((plain - scaled + expected) * parameter).sum(-1)
        return surrogate

    def _coefficient(self, plain: Tensor, control: Tensor) -> Tensor | float:
        """The coefficient of the control variate, `(K, B, D)` or a number."""
        if not self.optimal_scaling:
            return 1.0
        own, of_control = plain.double(), control.double()
        products, squares = sum_of_others(own * of_control), sum_of_others(of_control.square())
        return (products / squares.clamp_min(torch.finfo(squares.dtype).tiny)).to(control)


def _expected(h: Quadratic, q: PosteriorDistribution) -> tuple[Tensor, ...]:
    """The derivative of E[h(z)] by each parameter of q, `(B, D)`, without a graph."""
    parameters = tuple(parameter.detach() for parameter in q.parameters)
    derivative = torch.func.grad(lambda own: h.expectation(q.with_parameters(*own)).sum())
    return tuple(part.detach() for part in derivative(parameters))
