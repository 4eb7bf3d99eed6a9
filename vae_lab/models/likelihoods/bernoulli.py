"""Bernoulli pixels."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.noise import BaseDistribution
from vae_lab.numerics.precision import without_autocast


class _LogProb(torch.autograd.Function):
    """x log y + (1 - x) log(1 - y) without log1p, which alone takes a tenth of a training step on a CPU,
    and with the short derivative x - y.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, logits: Tensor) -> Tensor:
        magnitude = logits.abs()
        nats = ((x - 0.5) * logits).sub_(magnitude, alpha=0.5)
        return nats.add_(magnitude.sigmoid_().log_())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, logits = ctx.saved_tensors
        of_x = (gradient * logits).sum_to_size(x.shape) if ctx.needs_input_grad[0] else None
        return of_x, gradient * (x - logits.sigmoid())


@dataclass(frozen=True)
class BernoulliPixels:
    """Independent Bernoulli pixels with the given logits `(K, B, *data_shape)`."""

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def mode(self) -> Tensor:
        return (self.logits > 0).to(self.logits.dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        if self.logits.shape[1] == 1 < len(x):  # the same logits for all data: one matrix product
            logits = self.logits.flatten(1)
            with without_autocast(logits):
                return logits @ x.flatten(1).T - F.softplus(logits).sum(-1, keepdim=True)
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        if self.logits.is_cuda:
            logits, target = torch.broadcast_tensors(self.logits, x)
            return -F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        nats: Tensor = _LogProb.apply(x, self.logits)
        return nats

    def sample(self, eps: Tensor) -> Tensor:
        return (eps < self.mean).to(eps.dtype)


class Bernoulli(Likelihood):
    r"""Independent Bernoulli pixels, the decoder giving logits.

    $$\log p(x|z) = \sum_i x_i \log y_i + (1 - x_i) \log(1 - y_i), \quad y = \mathrm{sigmoid}(\text{logits})$$

    On grey pixels in (0, 1) this is a cross-entropy with soft targets, not a normalised likelihood.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix C.1, equation 11.

    Example:
        >>> import torch
        >>> pixels = Bernoulli()(torch.zeros(1, 2, 1, 8, 8))
        >>> [round(value, 3) for value in pixels.log_prob(torch.ones(2, 1, 8, 8))[0].tolist()]
        [-44.361, -44.361]
    """

    num_outputs: int = 1
    base_distribution: BaseDistribution = "uniform"
    support: Support = "unit_interval"
    levels = 2

    def forward(self, outputs: Tensor) -> BernoulliPixels:
        return BernoulliPixels(outputs)

    def outputs_of_mean(self, mean: Tensor) -> Tensor:
        return mean.clamp(0.001, 0.999).logit()  # finite where a pixel is always black
