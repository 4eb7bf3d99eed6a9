"""The pathwise gradients of two importance-weighted bounds, one for the model and one for the encoder."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Needs
from vae_lab.estimators.multi_sample import MultiSampleEstimator, check_groups, normalised
from vae_lab.models.vae import VAE, Batch


class PIWAE(MultiSampleEstimator):
    r"""The model ascends the bound of all samples, the encoder the mean of those of groups of them.

    $$\nabla_\theta L_{K}, \quad \nabla_\phi \frac1M \sum_{m=1}^M L_{K/M}^{(m)}$$

    The more samples in a group, the tighter the encoder's bound, and the lower the signal-to-noise ratio of
    its gradient. With one group it is IWAE. One pass through the decoder serves both: what flows back into z
    is weighted anew. So that something flows where a sample's weight among all of them vanishes and that in
    its group does not, the former is at least 1e-19 in single precision.

    References:
        Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018).

    Args:
        num_samples: `K`, at least 1.
        num_groups: `M`, which divides `K`.
        kl: `sampled`; a bound of several samples has no analytic form.

    Raises:
        ValueError: If an argument is out of its range.
    """

    requires = MultiSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}

    def __init__(
        self, num_samples: int = 64, num_groups: int = 8, kl: Literal["sampled"] = "sampled"
    ) -> None:
        super().__init__(num_samples, kl)
        check_groups(num_samples, num_groups)
        self.num_groups = num_groups
        if num_groups > 1:
            encoders = f"L_{num_samples // num_groups}"
            self.bias = f"piwae: the encoder ascends {encoders}, the model {self.target}"

    def reference(self, vae: VAE) -> "PIWAE":
        return PIWAE(self.num_samples, num_groups=1)

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        of_model = z.clone()
        densities = self.log_densities(vae, batch.x, of_model, q.detach())
        log_w = densities.log_w.detach()
        groups = log_w.unflatten(0, (self.num_groups, -1))
        of_groups = groups.softmax(1).flatten(0, 1) / self.num_groups
        weights = normalised(log_w).clamp_min(torch.finfo(log_w.dtype).tiny ** 0.5)
        if of_model.requires_grad:
            ratio = of_groups / weights
            of_model.register_hook(lambda gradient: gradient * ratio.unsqueeze(-1))
        log_joint = densities.log_likelihood + densities.log_prior
        surrogate = (weights * log_joint).sum(0) - (of_groups * q.log_prob(z)).sum(0)
        return self.estimate(surrogate, densities)
