"""The same model of the observed pixels alone, for data that miss some."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_lab.models.likelihoods.base import Likelihood, PixelDistribution
from vae_lab.models.vae import VAE, Batch

Fill = Tensor | float | Callable[[Tensor], Tensor]
PLACEHOLDER = 0.5  # a value that every likelihood can score


def of_observed(vae: VAE, fill: Fill = 0.0) -> VAE:
    r"""The same model, its parameters shared, of the pixels that are not NaN.

    $$p(x_o, z) = p(z) \prod_{i \in o} p(x_i|z), \quad q(z|x_o) = q(z|\text{$x$ with the others filled in})$$

    As pixels are independent given z, those that are missing integrate to 1. Whatever takes a VAE and data
    takes this one and data with NaN for what is missing; means, modes and samples of p(x|z) have all pixels.

    References:
        MIWAE: deep generative modelling and imputation of incomplete data sets (Mattei & Frellsen, 2019),
        section 3.1; zeros for what is missing are those of section 3.3.

    Args:
        vae: The model.
        fill: What the encoder sees in place of a missing pixel: a number, one for each pixel, or what makes
            `(B, *data_shape)` of the data.

    Example:
        >>> from vae_lab.models.likelihoods import FixedGaussian
        >>> from vae_lab.models.networks import Linear
        >>> from vae_lab.models.posteriors import Gaussian
        >>> from vae_lab.models.priors import StandardNormal
        >>> q = Gaussian(1)
        >>> vae = VAE(Linear((3,), (2,)), Linear((1,), (3,)), q, FixedGaussian(), StandardNormal(1), 1)
        >>> x, z = torch.tensor([[0.0, torch.nan, 1.0]]), torch.zeros(1, 1, 1)
        >>> of_observed(vae).decode(z).log_prob(x).isfinite().item()
        True
    """
    encoder = ImputingEncoder(vae.encoder, fill) if vae.is_amortized else vae.encoder
    likelihood = ObservedLikelihood(vae.likelihood)
    return VAE(encoder, vae.decoder, vae.posterior, likelihood, vae.prior, vae.latent_dim)


def filled(x: Tensor, fill: Fill) -> Tensor:
    """The data with something else for NaN."""
    values = fill(x) if callable(fill) else torch.as_tensor(fill, dtype=x.dtype, device=x.device)
    return torch.where(x.isnan(), values, x)


@dataclass(frozen=True)
class Reconstructed:
    """Fills in what the model makes of the data, again and again: E[x|z] at the mean of q(z|x) so far.

    Args:
        vae: The model, of all pixels.
        start: With what it begins, `(*data_shape)`.
        steps: How often.
    """

    vae: VAE
    start: Tensor
    steps: int = 10

    def __call__(self, x: Tensor) -> Tensor:
        values, none = filled(x, self.start), torch.empty(0)
        for _ in range(self.steps):
            q = self.vae.encode(Batch(values, none))
            values = filled(x, self.vae.decode(q.mean.unsqueeze(0)).mean[0])
        return values


class ImputingEncoder(nn.Module):
    """An encoder that sees something else for NaN.

    Args:
        encoder: The network.
        fill: What it sees, as for `of_observed`.
    """

    def __init__(self, encoder: nn.Module, fill: Fill) -> None:
        super().__init__()
        self.encoder = encoder
        self.fill = fill

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.encoder(filled(x, self.fill))
        return outputs


@dataclass(frozen=True)
class ObservedPixels:
    """p(x|z) of all pixels, whose log-density is that of those that are not NaN."""

    pixels: PixelDistribution

    @property
    def mean(self) -> Tensor:
        return self.pixels.mean

    @property
    def mode(self) -> Tensor:
        return self.pixels.mode

    def log_prob(self, x: Tensor) -> Tensor:
        return self.log_prob_per_pixel(x).flatten(2).sum(-1)

    def log_prob_per_pixel(self, x: Tensor) -> Tensor:
        # Scored somewhere and then left out, since the gradient at NaN would be NaN in spite of a zero.
        nats = self.pixels.log_prob_per_pixel(filled(x, PLACEHOLDER))
        return torch.where(x.isnan(), torch.zeros_like(nats), nats)

    def sample(self, eps: Tensor) -> Tensor:
        return self.pixels.sample(eps)


class ObservedLikelihood(Likelihood):
    """A family of likelihoods of the pixels that are not NaN.

    Args:
        family: That of all pixels.
    """

    def __init__(self, family: Likelihood) -> None:
        super().__init__()
        self.family = family
        self.num_outputs = family.num_outputs
        self.base_distribution = family.base_distribution
        self.support = family.support
        self.levels = family.levels

    def forward(self, outputs: Tensor) -> ObservedPixels:
        return ObservedPixels(self.family(outputs))
