"""The score-function gradient (REINFORCE)."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from vae_lab.estimators.base import Estimate
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.vae import VAE, Batch

Baseline = Literal["none", "leave_one_out"]


class ScoreFunction(SingleSampleEstimator):
    r"""The score-function gradient of the evidence lower bound: no derivative passes through the sample.

    $$\frac1K \sum_k (f(z_k) - b_k) \nabla_\phi \log q(z_k|x), \quad z_k \sim q(z|x)$$

    The learning signal f is log p(x|z) for `kl=analytic` (the KL term is then differentiated in closed
    form), the full log-weight for `kl=sampled`, and log p(x, z) for `kl=entropy`. The term of the gradient
    whose expectation is zero, that of log q inside f, is dropped. Parameters of p get their ordinary
    gradient.

    References:
        Simple statistical gradient-following algorithms for connectionist reinforcement learning
        (Williams, 1992), equation 11; Buy 4 REINFORCE samples, get a baseline for free! (Kool et al., 2019),
        equation 8, for `leave_one_out`.

    Args:
        baseline: `none`, or `leave_one_out`: b_k is the mean signal of the datum's other samples.
        num_samples: `K`, at least 1, and at least 2 for `leave_one_out`.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.

    Raises:
        ValueError: If `num_samples` is too small or `beta` below 0.
    """

    def __init__(
        self, baseline: Baseline = "none", num_samples: int = 1, kl: KL = "analytic", beta: float = 1.0
    ) -> None:
        super().__init__(num_samples, kl, beta)
        if baseline == "leave_one_out" and num_samples < 2:
            raise ValueError(f"num_samples must be at least 2 for baseline=leave_one_out, got {num_samples}.")
        self.baseline = baseline

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"]).detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        signal = terms.log_likelihood - self.beta * terms.sampled_kl
        advantage = self._centre(signal.detach())
        surrogate = (advantage * q.log_prob(z) + signal).mean(0) - self.beta * terms.exact_kl
        bound = (signal.mean(0) - self.beta * terms.exact_kl).detach()
        return Estimate(surrogate, bound, terms.report(self.beta))

    def _centre(self, signal: Tensor) -> Tensor:
        if self.baseline == "none":
            return signal
        others = (signal.sum(0) - signal) / (len(signal) - 1)
        return signal - others
