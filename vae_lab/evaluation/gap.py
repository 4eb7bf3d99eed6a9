"""What the evidence lower bound loses, and to what."""

from collections.abc import Sequence

from vae_lab.evaluation.bounds import bounds
from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.evaluation.terms import Term, difference
from vae_lab.noise import NoiseSource
from vae_lab.vae import VAE, Batch


def split_gap(
    vae: VAE, batch: Batch, noise: NoiseSource, fit: FitPosterior, numbers: Sequence[int]
) -> dict[str, Term]:
    r"""The two parts of log p(x) - ELBO: what the family of q cannot do, and what the encoder does not.

    $$\log p(x) - \mathcal L(q) = [\log p(x) - \mathcal L(q^*)] + [\mathcal L(q^*) - \mathcal L(q)]$$

    with q* fitted to each datum, and log p(x) by importance samples of q*. The error over the samples is that
    of the bounds; that of log p(x) is smaller.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li & Duvenaud, 2018), equation 5.

    Args:
        vae: The model, with an amortised q.
        batch: `B` data.
        noise: Source of evaluation noise.
        fit: How q is fitted.
        numbers: The numbers of importance samples, the largest of which is used.
    """
    most = [numbers[-1]]
    own = bounds(vae, batch, noise, most)["elbo_sampled_kl"]
    terms = bounds(fit(vae, batch, noise, "test"), batch, noise, most)
    best = terms["elbo_sampled_kl"]
    return {
        "approximation_gap": Term(terms["log_likelihood"].values - best.values, best.variances),
        "amortization_gap": difference(best, own),
    }
