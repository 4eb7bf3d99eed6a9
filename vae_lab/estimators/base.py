"""The base of gradient estimators."""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec


class Needs(Enum):
    """The needs that an estimator may have, in words; `vae_lab.training.compatibility` tests each."""

    BOUND = "a bound"
    LOG_LIKELIHOOD = "log p(x) itself"
    ENCODER = "q(z|x)"
    NO_ENCODER = "a model without an encoder"
    AMORTIZED_ENCODER = "an amortised encoder"
    DISCRETE_LATENTS = "discrete latent variables"
    BINARY_LATENTS = "binary latent variables"
    REAL_LATENTS = "real latent variables"
    FEW_VALUES = "at most 1,024 values of z"
    GAUSSIAN_POSTERIOR = "a Gaussian posterior with a diagonal covariance"
    REPARAMETERIZED_POSTERIOR = "a gradient through samples of q(z|x)"
    FACTORISED_POSTERIOR = "a posterior that is a product over the latent dimensions"
    POSTERIOR_MOMENTS = "the mean and the variance of q(z|x) in closed form"
    FACTORISED_PRIOR = "a prior that is a product over the latent dimensions"
    ANALYTIC_KL = "KL(q || p) in closed form for kl=analytic"
    ENTROPY = "the entropy of q(z|x) in closed form for kl=entropy"
    SAMPLED_LIKELIHOOD = "a likelihood that can be sampled"
    PIXELS = "a likelihood of pixels"
    COMPLETE_DATA = "complete data"
    WHOLE_DATA = "whole data"  # for a network of x
    INDEPENDENT_SAMPLES = "independent samples"
    UNPAIRED_NOISE = "noise without pairs"  # as it pairs each noise with its opposite
    WHOLE_BATCH = "the whole batch in one process"  # the surrogate of a datum depends on the others
    STATE_PER_DATUM = "its state of every datum in one process"


class Estimate(NamedTuple):
    """The value of an estimator, each entry but `state` of shape `(B,)` and in nats per datum.

    Args:
        surrogate: Its autograd gradient *is* the estimate of the gradient of the target, to be ascended.
        bound: The estimate of the target itself, or what is ascended in its place.
        terms: What to report, without gradients; `elbo`, where there is one, is always that with
            beta = 1.
        statistics: What `Estimator.update` is to be given, averaged over the global batch.
        state: What `Estimator.keep` is to be given, datum by datum in dimension 1.
    """

    surrogate: Tensor
    bound: Tensor
    terms: dict[str, Tensor]
    statistics: Mapping[str, Tensor] = MappingProxyType({})
    state: Mapping[str, Tensor] = MappingProxyType({})


class Estimator(nn.Module):
    """An estimator of the gradient of a bound, called as `estimator(vae, batch, noise)`.

    A subclass states how its needs differ, `requires = Estimator.requires | {Needs.REAL_LATENTS}`; a need
    that depends on an argument is added in `__init__`, `self.requires |= {...}`.

    Attributes:
        target: The bound that it stands for, against which its bias is judged: `elbo`, `L_5`, ...
        selection: The term of its `Estimate` by which models are selected on the validation split.
        objective: What is ascended in place of a plain target, in words, or None.
        bias: Why its mean is not the gradient of its target, or None if it is.
        requires: Its needs. Most estimators have those of this class; another adds to them or takes away.
        has_weight_prior: Whether its target has a prior on the decoder's weights, as weight decay is.
        updates_per_batch: Optimizer steps with one batch before the next one comes.
    """

    samples: int | None = None  # training samples so far, while a model is trained
    target: str = "elbo"
    selection: str = "elbo"
    objective: str | None = None
    bias: str | None = None
    requires: frozenset[Needs] = frozenset({Needs.BOUND, Needs.ENCODER, Needs.COMPLETE_DATA})
    has_weight_prior: bool = False
    updates_per_batch: int = 1

    @property
    def has_density(self) -> bool:
        """Whether a p(x) is trained; reconstructions alone, as of autoencoders, are a bound of none."""
        return self.target != "reconstruction"

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        """The noise that a call needs, by name."""
        raise NotImplementedError

    def check(self, vae: VAE) -> None:
        """Raises `ValueError` if the model lacks something that no member of `Needs` names."""

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        """Makes what depends on the model and the training data, such as the network of a baseline.

        May be called again, for another state of the model.
        """

    def reference(self, vae: VAE) -> "Estimator | None":
        """An unbiased estimator of the same target's gradient; None where the target's kind has one."""
        return None

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        """The surrogate, the bound and its terms for a batch of `B` data."""
        raise NotImplementedError

    def update(self, means: Mapping[str, Tensor]) -> None:
        """Updates what the estimator keeps, such as a running baseline; called after the optimizer's step.

        Args:
            means: The mean over the global batch of each of the estimate's `statistics`.
        """

    def keep(self, indices: Tensor, state: Mapping[str, Tensor]) -> None:
        """Keeps the `state` of an estimate for the data numbered `indices` `(B,)`; called after the step."""
