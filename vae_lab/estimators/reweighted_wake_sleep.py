"""Reweighted wake-sleep."""

from collections.abc import Mapping

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate
from vae_lab.estimators.multi_sample import MultiSampleEstimator, normalised
from vae_lab.models.vae import VAE, Batch


class ReweightedWakeSleep(MultiSampleEstimator):
    r"""Both networks learn from the same samples of q, each by its importance weight.

    $$\nabla_\theta: \sum_k \tilde w_k \nabla_\theta \log p_\theta(x, z_k), \quad
      \nabla_\phi: \sum_k \tilde w_k \nabla_\phi \log q_\phi(z_k|x)$$

    For the model that is the gradient of the importance-weighted bound. The encoder descends
    KL(p(z|x) || q(z|x)) instead of the bound, with a bias that falls as 1/K. No gradient passes through
    samples, which may be of discrete latent variables.

    References:
        Reweighted Wake-Sleep (Bornschein & Bengio, 2015), the wake phases of p and q; Revisiting Reweighted
        Wake-Sleep for Models with Stochastic Control Flow (Le et al., 2019).

    Args:
        num_samples: `K`, at least 1.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If `num_samples` is below 1 or `kl` is not `sampled`.
    """

    bias = "reweighted wake-sleep: the encoder descends KL(p || q), by another objective than the bound"

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        with torch.no_grad():
            z = q.transform(noise["posterior"])
        densities = self.log_densities(vae, batch.x, z, q)
        log_learnt = densities.log_likelihood + densities.log_prior + densities.log_q
        return self.estimate((normalised(densities.log_w) * log_learnt).sum(0), densities)
