"""The score-function gradient of discrete latent variables with a learned control variate."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from vae_lab.estimators.base import Needs
from vae_lab.estimators.learned_control_variate import LearnedControlVariate
from vae_lab.estimators.rebar import REBAR
from vae_lab.estimators.single_sample import KL
from vae_lab.models.distributions.discrete import DiscreteDistribution
from vae_lab.models.vae import VAE


class RELAX(REBAR):
    r"""`REBAR` with a network of the datum and the perturbed logits added to its control variate.

    $$c(x, \zeta) = \eta f(\sigma_\lambda(\zeta)) + r(x, \zeta)$$

    Unbiased for every network, which the run's optimizer trains to lower the variance.

    References:
        Backpropagation through the Void: Optimizing control variates for black-box gradient estimation
        (Grathwohl et al., 2018), section 3.3.

    Args:
        network: Makes the network r from `in_shape` and `out_shape`.
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

    requires = REBAR.requires | {Needs.WHOLE_DATA}

    def __init__(
        self,
        network: Callable[..., nn.Module],
        temperature: float = 0.5,
        scale: float = 1.0,
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__(temperature, scale, num_samples, kl, beta, warm_up, cycles, free_bits)
        self.learned = LearnedControlVariate(network)

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        self.learned.prepare(data_shape, vae.latent_dim)

    def control(self, vae: VAE, x: Tensor, q: DiscreteDistribution, perturbed: Tensor) -> Tensor:
        return super().control(vae, x, q, perturbed) + self.learned(x, perturbed)
