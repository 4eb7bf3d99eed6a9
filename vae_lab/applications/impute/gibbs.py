"""Imputation by Markov chains that draw z and what is missing in turn."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

from vae_lab.applications.impute.base import Imputed, pixel_spec
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.observed import filled
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import EVALUATION_BLOCK, NoiseSource, NoiseSpec

WARM_UP = 10  # the first of so many parts of the steps accepts whatever is proposed


class Place(NamedTuple):
    """Where the chains are, `R` rows of them.

    Args:
        z: `(1, R, D)`.
        outputs: What the decoder gives for z, `(1, R, ...)`.
    """

    z: Tensor
    outputs: Tensor


LogRatio = Callable[
    [Tensor, PosteriorDistribution, Place, Place], Tensor
]  # by which to move or to stay, `(R,)`


@torch.no_grad()
def pseudo_gibbs(
    vae: VAE, batch: Batch, fill: Tensor | float, noise: NoiseSource, steps: int, imputations: int
) -> Imputed:
    r"""Draws $z \sim q(z|x_o, x_m)$ and $x_m \sim p(x_m|z)$ in turn.

    Right if q is the posterior; else off by more the farther q is from it.

    References:
        Stochastic backpropagation and approximate inference in deep generative models (Rezende, Mohamed &
        Wierstra, 2014), appendix F.

    Args:
        vae: The model, of all pixels.
        batch: `B` data, NaN where a pixel is missing.
        fill: Where the missing pixels begin: a number, or one for each pixel.
        noise: Source of evaluation noise.
        steps: How often both are drawn, at least 2; the mean is over the second half.
        imputations: `M`, how many chains of each datum, whose last states are the draws.
    """
    return _run(vae, batch, fill, noise, steps, imputations, None)


@torch.no_grad()
def metropolis_within_gibbs(
    vae: VAE, batch: Batch, fill: Tensor | float, noise: NoiseSource, steps: int, imputations: int
) -> Imputed:
    r"""The same, but a new z is a proposal, so that the chains converge to p(z, x_m|x_o) whatever q is.

    The proposal $z' \sim q(z|x)$ is accepted with the probability

    $$\min\left(1, \frac{p(x|z') p(z')}{p(x|z) p(z)} \cdot \frac{q(z|x)}{q(z'|x)}\right),
      \quad x = (x_o, x_m)$$

    and always in the first tenth of the steps, which are those of `pseudo_gibbs`.

    References:
        Leveraging the exact likelihood of deep latent variable models (Mattei & Frellsen, 2018), algorithm 1.

    Args:
        vae: The model, of all pixels.
        batch: `B` data, NaN where a pixel is missing.
        fill: Where the missing pixels begin: a number, or one for each pixel.
        noise: Source of evaluation noise.
        steps: How often both are drawn, at least 2; the mean is over the second half.
        imputations: `M`, how many chains of each datum, whose last states are the draws.
    """

    def log_ratio(x: Tensor, q: PosteriorDistribution, here: Place, there: Place) -> Tensor:
        def log_weight(z: Tensor, outputs: Tensor) -> Tensor:
            return vae.likelihood(outputs).log_prob(x) + vae.prior.log_prob(z) - q.log_prob(z)

        return (log_weight(*there) - log_weight(*here))[0]

    return _run(vae, batch, fill, noise, steps, imputations, log_ratio)


def _run(
    vae: VAE,
    batch: Batch,
    fill: Tensor | float,
    noise: NoiseSource,
    steps: int,
    chains: int,
    log_ratio: LogRatio | None,
) -> Imputed:
    """Runs the chains of all data beside each other: row r is of datum r modulo B."""
    given = batch.x.repeat(chains, *[1] * (batch.x.dim() - 1))
    indices = batch.indices.repeat(chains)
    spec = vae.posterior_noise(chains) | {
        "pixels": pixel_spec(vae, given.shape[1:], chains),
        "accept": NoiseSpec("uniform", chains, ()),
    }
    drawn = _steps(noise, spec, chains, batch)
    x, place = filled(given, fill), None
    total, accepted = torch.zeros_like(given), torch.zeros_like(indices)
    warm_up = max(1, steps // WARM_UP)
    for step, eps in zip(range(steps), drawn, strict=False):
        q = vae.encode(Batch(x, indices))
        z = q.transform(eps["posterior"])
        proposed = Place(z, vae.decoder_outputs(z))
        if place is None or log_ratio is None or step < warm_up:
            place = proposed
        else:
            moves = eps["accept"][0].log() < log_ratio(x, q, place, proposed)
            place = _chosen(moves, proposed, place)
            accepted += moves
        pixels = vae.likelihood(place.outputs)
        x = filled(given, pixels.sample(eps["pixels"])[0])
        if step >= steps // 2:
            total += pixels.mean[0]
    mean = (total / (steps - steps // 2)).unflatten(0, (chains, -1)).mean(0)
    rate = accepted.unflatten(0, (chains, -1)).double().mean(0) / (steps - warm_up)
    diagnostics = {} if log_ratio is None else {"acceptance": rate}
    return Imputed(filled(batch.x, mean), x.unflatten(0, (chains, -1)), diagnostics)


def _steps(
    noise: NoiseSource, spec: dict[str, NoiseSpec], chains: int, batch: Batch
) -> Iterator[dict[str, Tensor]]:
    """The noise `(1, R, *event)` of one step after another; some are drawn at once, which is faster."""
    at_once = max(1, EVALUATION_BLOCK // chains)
    several = {name: each._replace(num_samples=at_once * chains) for name, each in spec.items()}
    for block in count():
        drawn = batch.draw(noise, several, "gibbs", block)
        for step in range(at_once):
            own = slice(step * chains, (step + 1) * chains)
            yield {name: each[own].flatten(0, 1).unsqueeze(0) for name, each in drawn.items()}


def _chosen(moves: Tensor, there: Place, here: Place) -> Place:
    def of(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(moves.reshape(1, -1, *[1] * (a.dim() - 2)), a, b)

    return Place(*(of(a, b) for a, b in zip(there, here, strict=True)))
