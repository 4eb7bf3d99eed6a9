"""Independent pixels of a likelihood family, their outputs found from weighted data instead of a decoder."""

import torch
from torch import Tensor, nn

from vae_lab.models.likelihoods import Bernoulli, Gaussian
from vae_lab.models.likelihoods.base import Likelihood

MIN_VARIANCE = 1e-12


def check_pixels(likelihood: Likelihood) -> None:
    """Raises `ValueError` if the family has no closed form here."""
    if not isinstance(likelihood, Bernoulli | Gaussian):
        raise ValueError(
            f"likelihood must be bernoulli or gaussian, whose fit has a closed form, got "
            f"{type(likelihood).__name__}."
        )
    if isinstance(likelihood, Gaussian) and not isinstance(likelihood.mean_activation, nn.Identity):
        raise ValueError("likelihood.mean_activation must be identity: the means are those of the data.")


def fitted_outputs(likelihood: Likelihood, x: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    r"""The outputs that a decoder would have to give for the data of each component.

    For Bernoulli pixels $\mathrm{logit} \frac{\sum_n w_{kn} x_n + a}{\sum_n w_{kn} + 2a}$, the mode of the
    posterior under Beta(a + 1, a + 1); for Gaussian ones the weighted mean and log-variance.

    Args:
        likelihood: Bernoulli or Gaussian.
        x: Data `(N, *data_shape)`.
        weights: Of each datum in each component, `(K, N)`.
        smoothing: `a`.

    Returns:
        `(K, 1, num_outputs * C, ...)`.

    Raises:
        ValueError: If a Gaussian pixel is the same in all data.
    """
    total, flat = weights.sum(1, keepdim=True), x.flatten(1)
    if isinstance(likelihood, Bernoulli):
        outputs = (weights @ flat + smoothing).log() - (weights @ (1 - flat) + smoothing).log()
        return outputs.unflatten(1, (1, *x.shape[1:]))
    mean = weights @ flat / total
    variance = torch.stack(
        [weight @ (flat - centre).square() for weight, centre in zip(weights, mean, strict=True)]
    )
    variance = variance / total
    if bool((variance < MIN_VARIANCE).any()):
        count = int((variance < MIN_VARIANCE).any(0).sum())
        raise ValueError(
            f"likelihood: Gaussian has no density for {count} pixels that are the same in all data of a "
            "component; use data without constant pixels, such as Frey Face."
        )
    parts = [each.unflatten(1, (1, *x.shape[1:])) for each in (mean, variance.log())]
    return torch.cat(parts, dim=2)
