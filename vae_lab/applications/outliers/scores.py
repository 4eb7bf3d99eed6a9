"""How unlike its training data a datum looks to a trained model."""

import math

import torch
from torch import Tensor

from vae_lab.inference.importance_sampling import importance_samples
from vae_lab.inference.weights import Trust, join_trust
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource

LATENT_SCORES = ("kl", "negative_elbo", "reconstruction_error")  # which need a q(z|x)
LIKELIHOOD_SCORES = ("negative_log_likelihood", "likelihood_ratio", "typicality")  # which need a p(x)
WEIGHT_DIAGNOSTICS = ("effective_sample_size", "in_doubt")
SCORES = (*LATENT_SCORES, *LIKELIHOOD_SCORES)


def scores_of(model: GenerativeModel, has_density: bool) -> tuple[str, ...]:
    """The scores that a model can give."""
    if not model.has_latents:
        return LIKELIHOOD_SCORES
    return SCORES if has_density else ("reconstruction_error",)


@torch.no_grad()
def outlier_scores(vae: VAE, batch: Batch, noise: NoiseSource, num_samples: int) -> dict[str, Tensor]:
    r"""Scores of each datum by a VAE, the higher the less it looks like what the model was trained on.

    `kl` is $\mathrm{KL}(q(z|x) \| p(z))$, in closed form where it has one; `negative_elbo` is
    $-\mathbb{E}_q[\log w]$ and `negative_log_likelihood` $-L_K$, both from the same samples;
    `reconstruction_error` is $\|x - \mathbb{E}[x | z = \mathbb{E}_q z]\|^2$.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), equation 3; Importance Weighted
        Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8.

    Args:
        vae: The model, with a q that serves the data.
        batch: `B` data.
        noise: Source of evaluation noise.
        num_samples: `K`, at least 1.

    Returns:
        `(B,)` in float64 for each score, in nats but for the reconstruction error; and beside these the
        `effective_sample_size` of the importance weights, and `in_doubt` where they cannot be trusted.
    """
    q = vae.encode(batch)
    parts = list(importance_samples(vae, batch, noise, num_samples))
    trust = join_trust([Trust.of(part.log_weight) for part in parts])
    log_weight = torch.cat([part.log_weight for part in parts], dim=1)
    reconstruction = torch.cat([part.reconstruction for part in parts], dim=1)
    closed = vae.posterior.has_analytic_kl(vae.prior)
    kl = q.kl(vae.prior).sum(-1).double() if closed else (reconstruction - log_weight).mean(0)
    return {
        "kl": kl,
        "negative_elbo": -log_weight.mean(0),
        "reconstruction_error": reconstruction_error(vae, batch),
        "negative_log_likelihood": math.log(num_samples) - log_weight.logsumexp(0),
        "effective_sample_size": trust.effective_sample_size,
        "in_doubt": trust.in_doubt,
    }


@torch.no_grad()
def reconstruction_error(vae: VAE, batch: Batch) -> Tensor:
    """The squared error of the decoded mean of q, summed over pixels, `(B,)` in float64."""
    means = vae.decode(vae.encode(batch).mean.unsqueeze(0)).mean[0]
    return (batch.x - means).double().square().flatten(1).sum(-1)


def likelihood_ratio(negative_log_likelihood: Tensor, background: Tensor) -> Tensor:
    """log p_background(x) - log p(x): how little of the likelihood is due to more than the background.

    References:
        Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019).

    Args:
        negative_log_likelihood: Of the model, `(B,)`.
        background: The same of a model of what all such data share, `(B,)`.
    """
    return negative_log_likelihood - background


def typicality(negative_log_likelihood: Tensor, entropy: float) -> Tensor:
    """How far -log p(x) is from its mean, on either side.

    References:
        Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality (Nalisnick et al.,
        2019), for a single datum.

    Args:
        negative_log_likelihood: `(B,)`.
        entropy: Its mean over held-out data like those that were trained on.
    """
    return (negative_log_likelihood - entropy).abs()
