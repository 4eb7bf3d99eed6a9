"""Imputation by self-normalised importance sampling, and by resampling."""

import torch
from torch import Tensor

from vae_lab.applications.impute.base import Imputed, pixel_spec
from vae_lab.inference.weights import Trust
from vae_lab.models.observed import Fill, filled, of_observed
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import EVALUATION_BLOCK, NoiseSource, NoiseSpec, component


@torch.no_grad()
def importance_weighted(
    vae: VAE,
    batch: Batch,
    fill: Fill,
    noise: NoiseSource,
    num_samples: int,
    imputations: int,
) -> Imputed:
    r"""Weighs samples of $q(z|x_o)$ by how well they explain what is observed.

    $$E[x_m|x_o] \approx \sum_k \tilde w_k E[x_m|z_k], \quad
      \tilde w_k \propto \frac{p(x_o|z_k) p(z_k)}{q(z_k|x_o)}$$

    A draw is one of p(x_m|z) for a z that is chosen among the samples with the probabilities $\tilde w_k$.
    Right as `num_samples` grows, whatever the encoder is; the effective sample size tells how far it got.
    Memory is that of the latent samples and of a block of decoder rows.

    References:
        MIWAE: deep generative modelling and imputation of incomplete data sets (Mattei & Frellsen, 2019),
        equations 10 to 14 (single imputation) and section 4.2 (multiple imputation).

    Args:
        vae: The model, of all pixels.
        batch: `B` data, NaN where a pixel is missing.
        fill: What the encoder sees there.
        noise: Source of evaluation noise.
        num_samples: `K`, at least 1.
        imputations: `M`, how many draws.
    """
    x = batch.x
    observed = of_observed(vae, fill)
    q = observed.encode(batch)
    mean = torch.zeros_like(x)
    log_total = torch.full((len(x),), -torch.inf).to(x)
    samples, log_weights = [], []
    for block, start in enumerate(range(0, num_samples, EVALUATION_BLOCK)):
        size = min(EVALUATION_BLOCK, num_samples - start)
        z = q.transform(batch.draw(noise, vae.posterior_noise(size), "importance", block)["posterior"])
        pixels = observed.decode(z)
        log_w = pixels.log_prob(x) + vae.prior.log_prob(z) - q.log_prob(z)
        before, log_total = log_total, torch.logaddexp(log_total, log_w.logsumexp(0))
        mean = mean * _beside(before - log_total, mean)
        mean = mean + (pixels.mean * _beside(log_w - log_total, pixels.mean)).sum(0)
        samples.append(z)
        log_weights.append(log_w)
    log_weight = torch.cat(log_weights).double()
    weights, trust = log_weight.softmax(0), Trust.of(log_weight)
    chosen = _resampled(torch.cat(samples), weights, noise, batch.indices, imputations)
    spec = {"pixels": pixel_spec(vae, x.shape[1:], imputations)}
    eps = batch.draw(noise, spec, "importance pixels")["pixels"]
    drawn = vae.decode(chosen).sample(eps)
    diagnostics = {"effective_sample_size": trust.effective_sample_size, "in_doubt": trust.in_doubt}
    return Imputed(filled(x, mean), filled(x, drawn), diagnostics)


def _beside(log_factor: Tensor, values: Tensor) -> Tensor:
    """The factor `(..., B)` itself, with as many dimensions as the values `(..., B, *data_shape)`."""
    return log_factor.exp().reshape(*log_factor.shape, *[1] * (values.dim() - log_factor.dim()))


def _resampled(z: Tensor, weights: Tensor, noise: NoiseSource, indices: Tensor, count: int) -> Tensor:
    """Some of the samples `(K, B, D)`, each datum's chosen by its weights `(K, B)`, `(number, B, D)`."""
    spec = {"choice": NoiseSpec("uniform", count, ())}
    uniform = noise.evaluation(
        spec, purpose="importance choice", indices=indices, device=weights.device, dtype=weights.dtype
    )["choice"]
    chosen = [
        component(of_datum, own) for of_datum, own in zip(uniform.unbind(1), weights.unbind(1), strict=True)
    ]
    return z.gather(0, torch.stack(chosen, dim=1).unsqueeze(-1).expand(-1, -1, z.shape[-1]))
