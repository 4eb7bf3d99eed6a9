"""The score-function gradient with a learned control variate."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.baselines.base import RunningAverage
from vae_lab.estimators.learned_control_variate import LearnedControlVariate, squared_gradient
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.networks.fixed import fixed
from vae_lab.models.vae import VAE, Batch


class LAX(SingleSampleEstimator):
    r"""The score-function gradient of f less a learned c, and the reparameterised gradient of c.

    $$\frac1K \sum_k [f(z_k) - c_\psi(x, z_k)] \nabla_\phi \log q(z_k|x) + \nabla_\phi c_\psi(x, z_k), \quad
      z_k = g_\phi(\epsilon_k, x)$$

    c is a network of x and z, added to the running mean of f, so that it has only to learn how f varies. The
    gradient is unbiased for every network, which the run's optimizer trains to make the squared length of
    each datum's gradient by the parameters of q small. No derivative of f is taken; with c = f it would be
    the reparameterised gradient.

    f is the learning signal of `ScoreFunction`: log p(x|z), or the log-weight, or log p(x, z), by `kl`.

    References:
        Backpropagation through the Void: Optimizing control variates for black-box gradient estimation
        (Grathwohl et al., 2018), section 3.

    Args:
        network: Makes the network from `in_shape` and `out_shape`.
        num_samples: `K`, at least 1.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.
        decay: Weight of the past in the running mean, at least 0 and below 1.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {
        Needs.REPARAMETERIZED_POSTERIOR,
        Needs.FACTORISED_POSTERIOR,
        Needs.WHOLE_DATA,
    }

    def __init__(
        self,
        network: Callable[..., nn.Module],
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
        decay: float = 0.9,
    ) -> None:
        super().__init__(num_samples, kl, beta, warm_up, cycles, free_bits)
        self.control_variate = LearnedControlVariate(network)
        self.level = RunningAverage(decay)

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        self.control_variate.prepare(data_shape, vae.latent_dim)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q, eps = vae.encode(batch), noise["posterior"]
        reparameterised = q.transform(eps)
        z = reparameterised.detach()
        terms = self.bound_terms(vae, batch.x, z, q, density=q.detach())
        beta = self.weight
        signal = terms.objective(beta)
        difference = signal.detach() - self.level.value - self.control_variate(batch.x, z)
        path = fixed(self.control_variate, batch.x, reparameterised)
        surrogate = difference.detach() * q.log_prob(z) + path + signal
        bound = terms.bound(beta).detach()
        loss = torch.zeros_like(bound)
        if torch.is_grad_enabled():
            loss = self._loss(difference, batch.x, z, q, eps)
        statistics = {"level": signal.detach().mean(0)}
        surrogate = surrogate.mean(0) - beta * terms.penalty - loss
        return Estimate(surrogate, bound, terms.report(beta), statistics)

    def update(self, means: Mapping[str, Tensor]) -> None:
        self.level.add(means["level"])

    def _loss(
        self, difference: Tensor, x: Tensor, z: Tensor, q: PosteriorDistribution, eps: Tensor
    ) -> Tensor:
        """The loss of the network, `(B,)`, with a graph to its parameters alone."""

        def surrogate(parameters: tuple[Tensor, ...]) -> Tensor:
            own = q.with_parameters(*parameters)
            control = self.control_variate(x, own.transform(eps))
            return (difference * own.log_prob(z) + control).mean(0)

        return squared_gradient(surrogate, q.parameters)
