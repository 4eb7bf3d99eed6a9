"""What a gradient estimator is."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn

from vae_lab.models.posteriors.discrete import Discrete
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec

OTHERS = "rloo, nvil or vimco, or disarm or rebar for discrete ones"  # no gradient through samples


class Estimate(NamedTuple):
    """What an estimator returns, each entry but `state` of shape `(B,)` and in nats per datum.

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

    Attributes:
        target: The bound that it stands for, against which its bias is judged: `elbo`, `L_5`, ...
        selection: The term of its `Estimate` by which models are selected on the validation split.
        objective: What is ascended in place of a plain target, in words, or None.
        bias: Why its mean is not the gradient of its target, or None if it is.
        needs_independent_samples: Whether it is biased if a datum's samples depend on each other.
        mirrors_noise: Whether it takes each noise together with its opposite.
        reads_data: Whether it has a network of the datum.
        couples_data: Whether a datum's surrogate depends on the other data of its batch.
        needs_encoder: Whether it uses q(z|x).
        needs_amortization: Whether it asks q(z|x) of data that are not in the training part.
        accepts_missing: Whether data may have NaN for pixels that are missing.
        keeps_data: Whether it keeps something for each datum, which several processes would have to share.
        has_weight_prior: Whether its target has a prior on the decoder's weights, as weight decay is.
        updates_per_batch: Optimizer steps with one batch before the next one comes.
    """

    samples: int | None = None  # training samples so far, while a model is trained
    target: str = "elbo"
    selection: str = "elbo"
    objective: str | None = None
    bias: str | None = None
    needs_independent_samples: bool = False
    mirrors_noise: bool = False
    reads_data: bool = False
    couples_data: bool = False
    needs_encoder: bool = True
    needs_amortization: bool = False
    accepts_missing: bool = False
    keeps_data: bool = False
    has_weight_prior: bool = False
    updates_per_batch: int = 1

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        """The noise that a call needs, by name."""
        raise NotImplementedError

    def check(self, vae: VAE) -> None:
        """Raises `ValueError`, naming what can serve, if this estimator cannot serve the model."""

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        """Makes what depends on the model and the training data, such as the network of a baseline."""

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


def check_discrete(vae: VAE, name: str, support: str | None = None) -> None:
    """Raises `ValueError` if the latent variables are not discrete, or not of the support that is asked."""
    if not isinstance(vae.posterior, Discrete) or support not in (None, vae.posterior.support):
        families = "bernoulli" if support == "binary" else "bernoulli or categorical"
        raise ValueError(
            f"{name} is for {support or 'discrete'} latent variables, and {type(vae.posterior).__name__} has "
            f"{vae.posterior.support} ones; use model/posterior={families}, or another estimator."
        )


def check_pathwise(vae: VAE) -> None:
    """Raises `ValueError` if no gradient passes through the posterior's samples."""
    if not vae.posterior.is_reparameterized:
        raise ValueError(
            f"no gradient passes through the samples of {type(vae.posterior).__name__}; use "
            f"estimator={OTHERS}."
        )
