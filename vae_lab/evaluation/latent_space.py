"""How a model uses its latent dimensions."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae_lab.evaluation.active_units import ActiveUnits, posterior_means
from vae_lab.evaluation.aggregate_posterior import MIN_DATA, maximum_mean_discrepancy, mutual_information
from vae_lab.inference.terms import Statistic, Term, of_unknown_error, statistic
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, permutation

CHUNK_DATA = 1000  # data


@torch.no_grad()
def latent_space(vae: VAE, batch: Batch, noise: NoiseSource) -> tuple[dict[str, Statistic], Tensor | None]:
    r"""Summary of the latent space under q, and the KL term of each dimension.

    `kl` is the rate, the mean of KL(q(z|x) || p(z)); `mutual_information` and `marginal_kl` are its two
    parts, the second being the distance of the aggregate posterior to the prior, KL(q(z) || p(z)); `mmd` is
    another such distance, the squared maximum mean discrepancy. `active_units` counts dimensions, of all
    layers and of each.

    Args:
        vae: The model.
        batch: All data, `N` of them, which the aggregate posterior is made of; read a few at a time.
        noise: Source of evaluation noise.

    Returns:
        The statistics by name, and the mean KL of each dimension, `(D,)`, in nats; None if log p(z) is no sum
        over the dimensions.
    """
    pieces = [slice(start, start + CHUNK_DATA) for start in range(0, len(batch.x), CHUNK_DATA)]
    outputs = torch.cat([vae.encoder(batch.take(piece).x) for piece in pieces])
    specs = vae.posterior_noise(1) | {"prior": vae.prior.noise_spec(1)}
    draws = noise.evaluation(
        specs, purpose="latent space", indices=batch.indices, device=outputs.device, dtype=outputs.dtype
    )
    q = vae.posterior(outputs)
    z, prior = q.transform(draws["posterior"]), vae.prior.sample(draws["prior"])
    kl, of_dimension = _kl(vae, q, z)
    rate = statistic(kl)
    information = statistic(of_unknown_error(mutual_information(q, z[0])))
    statistics = {
        "kl": rate,
        "mutual_information": information,
        "marginal_kl": Statistic(rate.value - information.value, monte_carlo_error=math.nan),
        **_active_units(vae, batch, pieces, noise),
    }
    if len(batch.x) >= MIN_DATA:
        order = permutation(len(batch.x), seed=0, purpose="blocks", epoch=0)  # data may be sorted by class
        statistics["mmd"] = statistic(
            of_unknown_error(maximum_mean_discrepancy(z[0, order].to(prior), prior[0]))
        )
    return statistics, of_dimension


def _active_units(
    vae: VAE, batch: Batch, pieces: Sequence[slice], noise: NoiseSource
) -> dict[str, Statistic]:
    """Of all layers and, if there are several, of each; of one datum nothing varies."""
    if len(batch.x) == 1:
        return {}
    layers = [ActiveUnits(size) for size in vae.layer_dims]
    for piece in pieces:
        batch_means = posterior_means(vae, batch.take(piece), noise)
        parts = (means.split(vae.layer_dims, dim=1) for means in batch_means)
        for layer, means, again in zip(layers, *parts, strict=True):
            layer.add(means, again)
    counts = [layer.count(layer.sums) for layer in layers]
    of_each = {f"active_units_{index}": Statistic(count) for index, count in enumerate(counts, start=1)}
    return {"active_units": Statistic(sum(counts))} | (of_each if len(layers) > 1 else {})


def _kl(vae: VAE, q: PosteriorDistribution, z: Tensor) -> tuple[Term, Tensor | None]:
    """KL(q(z|x) || p(z)) of each datum, in closed form or at one sample, and its mean for each dimension."""
    terms = kl_terms(vae, q, z)
    if terms is None:
        return of_unknown_error((q.log_prob(z) - vae.prior.log_prob(z))[0]), None
    is_exact = vae.posterior.has_analytic_kl(vae.prior)
    rate = Term(terms.sum(1)) if is_exact else of_unknown_error(terms.sum(1))
    return rate, terms.double().mean(0)


def kl_terms(vae: VAE, q: PosteriorDistribution, z: Tensor) -> Tensor | None:
    """The terms of KL(q(z|x) || p(z)), one for each dimension, `(B, D)`, in nats.

    In closed form or, where there is none, at one sample of each datum; None if log p(z) or log q(z|x) is no
    sum over the dimensions.

    Args:
        vae: The model.
        q: The posteriors of `B` data.
        z: A sample of each, `(1, B, D)`.
    """
    if vae.posterior.has_analytic_kl(vae.prior):
        return q.kl(vae.prior)
    if not (vae.prior.has_terms and vae.posterior.has_terms):
        return None
    return (q.log_prob_per_dimension(z) - vae.prior.log_prob_per_dimension(z))[0]
