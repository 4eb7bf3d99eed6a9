"""What the evidence lower bound loses, and to what."""

from vae_lab.evaluation.bounds import bounds
from vae_lab.evaluation.fit_posterior import FitPosterior
from vae_lab.evaluation.importance_sampling import CHUNK_ROWS
from vae_lab.evaluation.terms import Term, difference
from vae_lab.noise import NoiseSource
from vae_lab.vae import VAE, Batch


def split_gap(
    vae: VAE,
    batch: Batch,
    elbo: Term,
    noise: NoiseSource,
    fit: FitPosterior,
    num_samples: int,
    chunk_rows: int = CHUNK_ROWS,
) -> dict[str, Term]:
    r"""The two parts of log p(x) - ELBO: what the family of q cannot do, and what the encoder does not.

    $$\log p(x) - \mathcal L(q) = [\log p(x) - \mathcal L(q^*)] + [\mathcal L(q^*) - \mathcal L(q)]$$

    with q* fitted to each datum, and log p(x) by importance samples of q*. The errors over the samples are
    those of the bounds, added as if they were independent; that of log p(x) is smaller.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li & Duvenaud, 2018), equation 5.

    Args:
        vae: The model, with an amortised q.
        batch: `B` data.
        elbo: Their bound with the encoder's q.
        noise: Source of evaluation noise.
        fit: How q is fitted.
        num_samples: Importance samples.
        chunk_rows: Decoder rows at a time.
    """
    terms = bounds(fit(vae, batch, noise, "test"), batch, noise, [num_samples], chunk_rows)
    best = terms["elbo_sampled_kl"]
    return {
        "approximation_gap": Term(terms["log_likelihood"].values - best.values, best.variances),
        "amortization_gap": difference(best, elbo),
    }
