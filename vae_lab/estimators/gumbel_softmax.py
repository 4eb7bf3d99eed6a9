"""The pathwise gradient through relaxed samples of discrete latent variables, a biased one."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.distributions.discrete import DiscreteDistribution
from vae_lab.models.vae import VAE, Batch


class GumbelSoftmax(SingleSampleEstimator):
    r"""The pathwise gradient of the bound at relaxed samples, also known as Concrete.

    $$\nabla \log p(x|\tilde z) - \beta\, \mathrm{KL}, \quad
      \tilde z = \mathrm{softmax}((\log \pi - \log(-\log u)) / \lambda)$$

    Binary variables have a sigmoid and logistic noise. The KL term is that of the discrete variables. The
    lower the temperature, the less biased the gradient and the higher its variance; it may fall exponentially
    while a model is trained. Validation and test have discrete samples, and so has what is reported in
    training if `straight_through`.

    References:
        Categorical Reparameterization with Gumbel-Softmax (Jang, Gu & Poole, 2017), equation 2, section
        2.1 for the annealing and 2.2 for `straight_through`; The Concrete Distribution (Maddison, Mnih & Teh,
        2017).

    Args:
        temperature: $\lambda$, above 0; with `annealing` that at the start.
        final_temperature: That to which it falls, above 0; needs `annealing`. None for a constant one.
        annealing: Training samples over which it falls so; 0 for none.
        straight_through: Whether the decoder sees the discrete sample, with the gradient of the relaxed one.
        num_samples: `K`, at least 1.
        kl: Form of the KL term: `analytic`, `sampled` or `entropy`; the latter two go on linearly between
            the values of z.
        beta: Weight of the KL term, not negative.
        warm_up: Training samples over which that weight rises from 0; 0 for none.
        cycles: How often it rises so.
        free_bits: Nats of each latent dimension that cost nothing; needs `kl=analytic`.

    Raises:
        ValueError: If a number is out of its range, or free bits meet another `kl`.
    """

    requires = SingleSampleEstimator.requires | {Needs.DISCRETE_LATENTS}
    bias: str | None = "gumbel_softmax: the gradient is that of the bound at relaxed samples"

    def __init__(
        self,
        temperature: float = 0.5,
        final_temperature: float | None = None,
        annealing: int | float = 0,
        straight_through: bool = False,
        num_samples: int = 1,
        kl: KL = "analytic",
        beta: float = 1.0,
        warm_up: int | float = 0,
        cycles: int = 1,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__(num_samples, kl, beta, warm_up, cycles, free_bits)
        for name, value in {"temperature": temperature, "final_temperature": final_temperature}.items():
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}.")
        if not annealing >= 0:
            raise ValueError(f"annealing must not be negative, got {annealing}.")
        if bool(annealing) != (final_temperature is not None):
            raise ValueError(
                f"final_temperature and annealing need each other, got {final_temperature} and {annealing}; "
                "give both or neither."
            )
        self.temperature = temperature
        self.final_temperature = temperature if final_temperature is None else final_temperature
        self.annealing = annealing
        self.straight_through = straight_through
        if not straight_through:
            fall = f" falling to {final_temperature:g} over {annealing:,.0f} samples" if annealing else ""
            note = f"trained at samples relaxed by the temperature {temperature:g}{fall}, as train/elbo is"
            self.objective = f"{note}; {self.objective}" if self.objective else note

    @property
    def temperature_now(self) -> float:
        """`temperature`, or with `annealing` what it has fallen to; the final one outside of a training."""
        if not self.annealing:
            return self.temperature
        done = 1.0 if self.samples is None else min(1.0, self.samples / self.annealing)
        return float(self.temperature * (self.final_temperature / self.temperature) ** done)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        assert isinstance(q, DiscreteDistribution)
        z = self._sample(q, noise["posterior"]) if self.training else q.transform(noise["posterior"])
        terms = self.bound_terms(vae, batch.x, z, q, density=q)
        bound = terms.bound(self.weight)
        return Estimate(bound, bound.detach(), terms.report(self.weight))

    def _sample(self, q: DiscreteDistribution, eps: Tensor) -> Tensor:
        perturbed = q.perturbed(eps)
        relaxed = q.relax(perturbed, self.temperature_now)
        return q.harden(perturbed) + relaxed - relaxed.detach() if self.straight_through else relaxed
