"""Variational inference of the decoder's weights beside the latent variables."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vae_lab.estimators.base import Estimate, Estimator, Needs
from vae_lab.estimators.single_sample import KL, SingleSampleEstimator
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec

WEIGHT_SAMPLES = 10


class FullVariationalBayes(SingleSampleEstimator):
    r"""Reparameterised gradients of the bound on log p(X) with a Gaussian over the decoder's weights too.

    $$\frac1N \log p(X) \ge E_{q(\theta)}\left[\frac1N \sum_i \mathcal{L}(\theta, \phi; x_i)\right]
      - \frac1N \mathrm{KL}(q(\theta) \,\|\, N(0, I)), \quad q(\theta) = N(\mu, \mathrm{diag}\, \sigma^2)$$

    $\theta = \mu + \sigma \odot \zeta$ with one $\zeta \sim N(0, I)$ for a whole minibatch. $\mu$ are the
    parameters of the decoder, and what uses the model later, such as importance sampling, takes these;
    $\sigma$ belong to the estimator. Parameters of the likelihood and the encoder have no distribution. What
    is evaluated is the average over `WEIGHT_SAMPLES` draws of the weights, the same ones at any time.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix F and its algorithm 2, with the KL
        terms in closed form.

    Args:
        num_samples: `K`, samples of z per datum.
        kl: Form of the KL term of q(z|x).
        initial_std: Where every sigma begins, above 0.

    Raises:
        ValueError: If a number is out of its range.
    """

    requires = SingleSampleEstimator.requires | {Needs.REPARAMETERIZED_POSTERIOR}
    has_weight_prior = True

    def __init__(self, num_samples: int = 1, kl: KL = "analytic", initial_std: float = 0.01) -> None:
        super().__init__(num_samples, kl)
        if not initial_std > 0:
            raise ValueError(f"initial_std must be above 0, got {initial_std}.")
        self.target = "full_elbo"
        self.initial_std = initial_std
        self.dataset_size = 1

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        self.log_std = nn.Parameter(torch.full((_num_weights(vae),), math.log(self.initial_std)))
        self.dataset_size = dataset_size

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        draws = 1 if self.training else WEIGHT_SAMPLES
        return super().noise_spec(vae, batch) | {
            "weights": NoiseSpec("normal", draws, (_num_weights(vae),), shared=True)
        }

    def reference(self, vae: VAE) -> Estimator:
        return self

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        q = vae.encode(batch)
        z = q.transform(noise["posterior"])
        means = nn.utils.parameters_to_vector(vae.decoder.parameters())
        weights = means + self.log_std.exp() * noise["weights"][:, 0]
        parts = [self.bound_terms(_with_weights(vae, each), batch.x, z, q, density=q) for each in weights]
        terms = parts[0]._replace(log_likelihood=torch.cat([each.log_likelihood for each in parts]))
        elbo = terms.log_likelihood.mean(0) - terms.sampled_kl.mean(0) - terms.exact_kl
        weights_kl = self._weights_kl(means).sum() / self.dataset_size
        bound = elbo - weights_kl
        report = terms.report(self.beta)
        report["weights_kl"] = weights_kl.detach().expand_as(elbo)
        report["full_elbo"] = bound.detach()
        return Estimate(bound, bound.detach(), report)

    def _weights_kl(self, means: Tensor) -> Tensor:
        """KL(N(mu, sigma^2) || N(0, 1)) of each weight, in nats."""
        return 0.5 * ((2 * self.log_std).exp() + means.square() - 1) - self.log_std


class _Weighted(nn.Module):
    """A decoder with given values in place of its parameters."""

    def __init__(self, decoder: nn.Module, values: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.decoder = decoder
        self.values = values

    def forward(self, z: Tensor) -> Tensor:
        output: Tensor = functional_call(self.decoder, dict(self.values), (z,))
        return output


def _num_weights(vae: VAE) -> int:
    return sum(parameter.numel() for parameter in vae.decoder.parameters())


def _with_weights(vae: VAE, weights: Tensor) -> VAE:
    """The model with the decoder's parameters taken from one vector."""
    named = dict(vae.decoder.named_parameters())
    parts = weights.split([parameter.numel() for parameter in named.values()])
    values = {name: part.view_as(named[name]) for name, part in zip(named, parts, strict=True)}
    return vae.with_decoder(_Weighted(vae.decoder, values))
