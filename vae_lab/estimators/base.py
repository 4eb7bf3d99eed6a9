"""What a gradient estimator is."""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from vae_lab.noise import NoiseSpec
from vae_lab.vae import VAE, Batch


class Estimate(NamedTuple):
    """What an estimator returns, each entry of shape `(B,)` and in nats per datum.

    Args:
        surrogate: Its autograd gradient *is* the estimate of the gradient of the target, to be ascended.
        bound: The estimate of the target itself.
        terms: The named parts to report, without gradients; `elbo` is always the one with beta = 1.
    """

    surrogate: Tensor
    bound: Tensor
    terms: dict[str, Tensor]


class Estimator(nn.Module):
    """An estimator of the gradient of a bound, called as `estimator(vae, batch, noise)`.

    Attributes:
        target: The bound that it stands for, against which its bias is judged.
        selection: The term of its `Estimate` by which models are selected on the validation split.
    """

    target: ClassVar[str] = "elbo"
    selection: ClassVar[str] = "elbo"

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        """The noise that a call needs, by name."""
        raise NotImplementedError

    def check(self, vae: VAE) -> None:
        """Raises `ValueError`, naming what can serve, if this estimator cannot serve the model."""

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        """The surrogate, the bound and its terms for a batch of `B` data."""
        raise NotImplementedError

    def update(self, estimate: Estimate) -> None:
        """Updates what the estimator keeps, such as a running baseline; called after the optimizer's step."""
