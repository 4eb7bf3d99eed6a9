"""The bounds of a trained model, from the same importance samples."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vae_lab.inference.importance_sampling import CHUNK_ROWS, ImportanceSamples, importance_samples
from vae_lab.inference.terms import Term, join, mean_of_samples, of_unknown_error
from vae_lab.inference.weights import Trust, monte_carlo_variance
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource


def bounds(
    vae: VAE, batch: Batch, noise: NoiseSource, numbers: Sequence[int], chunk_rows: int = CHUNK_ROWS
) -> dict[str, Term]:
    r"""The evidence lower bound and $L_K$ of each datum, and how far the weights can be trusted.

    `elbo_sampled_kl` is the mean of log p(x, z) - log q(z|x) over the samples, `elbo_analytic_kl` that of log
    p(x|z) less the KL term in closed form, where it has one. For a `K` below the largest, `L_K` is the mean
    over all groups of `K` samples that there are. `log_likelihood` is `L_K` for the largest.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), equations 6 and 7; Importance Weighted
        Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8.

    Args:
        vae: The model.
        batch: `B` data.
        noise: Source of evaluation noise.
        numbers: Each `K`, at least one of them, in ascending order.
        chunk_rows: Decoder rows at a time.
    """
    samples = importance_samples(vae, batch, noise, numbers[-1], chunk_rows)
    terms = join([_of_samples(part, numbers) for part in samples])
    reconstruction = terms.pop("reconstruction")
    if vae.posterior.has_analytic_kl(vae.prior):
        with torch.no_grad():
            kl = vae.encode(batch).kl(vae.prior).sum(-1).double()
        terms["elbo_analytic_kl"] = Term(reconstruction.values - kl, reconstruction.variances)
    return terms


def _of_samples(samples: ImportanceSamples, numbers: Sequence[int]) -> dict[str, Term]:
    log_weight, trust = samples.log_weight, Trust.of(samples.log_weight)
    terms = {f"L_{num_samples}": _importance_weighted(log_weight, num_samples) for num_samples in numbers}
    return terms | {
        "log_likelihood": terms[f"L_{numbers[-1]}"],
        "elbo_sampled_kl": mean_of_samples(log_weight),
        "reconstruction": mean_of_samples(samples.reconstruction),
        "effective_sample_size": of_unknown_error(trust.effective_sample_size),
        "pareto_shape": Term(trust.pareto_shape),
    }


def _importance_weighted(log_weight: Tensor, size: int) -> Term:
    groups = len(log_weight) // size
    parts = log_weight[: groups * size].unflatten(0, (groups, size)).logsumexp(1) - math.log(size)
    if groups > 1:
        return mean_of_samples(parts)
    return Term(parts[0], monte_carlo_variance(log_weight[:size]))
