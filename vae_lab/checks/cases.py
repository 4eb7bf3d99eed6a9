"""Small models on which parts are judged: with closed forms, with sums over all values, or with neither."""

import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_lab.models import posteriors, priors
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.likelihoods import Bernoulli, FixedGaussian
from vae_lab.models.networks import MLP, Linear
from vae_lab.models.posteriors.discrete import is_enumerable
from vae_lab.models.vae import VAE, Batch

IMAGE = (1, 2, 2)
MAX_TERMS = 100_000  # of a sum over all values of K samples
network = partial(MLP, hidden=[5], activation="tanh")


def linear_gaussian_vae(data_dim: int = 4, latent_dim: int = 2, seed: int = 0) -> VAE:
    """A VAE whose bound and marginal likelihood have closed forms, in float64."""
    torch.manual_seed(seed)
    q = posteriors.Gaussian(latent_dim)
    vae = VAE(
        Linear((data_dim,), (q.num_outputs,)),
        Linear((latent_dim,), (data_dim,)),
        q,
        FixedGaussian(std=0.7),
        priors.StandardNormal(latent_dim),
        latent_dim,
    )
    return vae.double()


def nonlinear_vae(latent_dim: int = 2, family: Callable[[int], Posterior] = posteriors.Gaussian) -> VAE:
    """A small VAE of 2x2 binary images whose bound has no closed form, in float64."""
    torch.manual_seed(2)
    return _of_images(family(latent_dim), priors.StandardNormal(latent_dim))


def binary_vae(latent_dim: int = 3) -> VAE:
    """A small VAE of 2x2 binary images with binary latent variables and a learned prior, in float64."""
    torch.manual_seed(5)
    prior = priors.Bernoulli(latent_dim, learned=True)
    return _of_images(posteriors.Bernoulli(latent_dim), prior, prior.logits)


def categorical_vae(latent_dim: int = 6) -> VAE:
    """The same with one-hot vectors of three categories."""
    torch.manual_seed(5)
    prior = priors.Categorical(latent_dim, 3, learned=True)
    return _of_images(posteriors.Categorical(latent_dim, 3), prior, prior.logits)


def hierarchical_vae() -> VAE:
    """A small VAE of 2x2 binary images with two layers of latent variables, in float64."""
    torch.manual_seed(4)
    small: Any = partial(MLP, hidden=[4], activation="tanh")
    layers: dict[str, Any] = {"latent_dim": 3, "layer_dims": [2, 1], "network": small}
    q, p = posteriors.Hierarchical(**layers), priors.Hierarchical(**layers)
    encoder = small(in_shape=IMAGE, out_shape=(q.num_outputs,))
    vae = VAE(encoder, small(in_shape=(2,), out_shape=IMAGE), q, Bernoulli(), p, latent_dim=3)
    return _far_from_linear(vae, vae.generative_parameters())


def _of_images(q: Posterior, prior: Prior, logits: Tensor | None = None) -> VAE:
    encoder = network(IMAGE, (q.num_outputs,))
    latent_dim: Any = prior.latent_dim
    decoder = network((latent_dim,), IMAGE)
    vae = VAE(encoder, decoder, q, Bernoulli(), prior, latent_dim)
    if logits is not None:
        torch.nn.init.normal_(logits)
    return _far_from_linear(vae, decoder.parameters())


def _far_from_linear(vae: VAE, parameters: Iterable[Tensor]) -> VAE:
    """The model with larger parameters, so that q(z|x) is far from the posterior, in float64."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.mul_(3)
    return vae.double()


def gaussian_batch(size: int = 3, data_dim: int = 4, seed: int = 1) -> Batch:
    """Data of the linear-Gaussian model."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, data_dim, generator=generator, dtype=torch.float64)
    return Batch(x, torch.arange(size))


def one_datum(vae: VAE) -> Batch:
    """The datum at which gradients of a model of this module are judged."""
    if not isinstance(vae.decoder, Linear):
        return Batch(torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]], dtype=torch.float64), torch.arange(1))
    return gaussian_batch(size=1)


def copies_of(batch: Batch, copies: int) -> Batch:
    """The datum so many times: in one call of an estimator, as many independent estimates."""
    return Batch(batch.x.expand(copies, *batch.x.shape[1:]), torch.arange(copies))


def exact_elbo(vae: VAE, batch: Batch, beta: float = 1.0) -> Tensor:
    """The evidence lower bound of a linear-Gaussian VAE in closed form, `(B,)`, in nats.

    With z ~ N(m, diag(s^2)) and p(x|z) = N(Wz + b, v I) it needs
    E|x - Wz - b|^2 = |x - Wm - b|^2 + sum_d s_d^2 |W_d|^2.
    """
    q: Any = vae.encode(batch)
    layers, log_scale = _layers(vae)
    weight, bias = layers[0].weight, layers[0].bias
    variance = (2 * log_scale).exp().double()
    residual = batch.x - q.mean @ weight.T - bias
    spread = (2 * q.log_scale).exp() @ weight.square().sum(0)
    expected = residual.square().sum(-1) + spread
    dimensions = batch.x.shape[1]
    reconstruction = -0.5 * (expected / variance + dimensions * (2 * torch.pi * variance).log())
    kl: Tensor = q.kl(vae.prior).sum(-1)
    return reconstruction - beta * kl


def _layers(vae: VAE) -> tuple[Any, Any]:
    decoder, likelihood = vae.decoder, vae.likelihood
    return decoder.layers, likelihood.log_scale


def samples_and_probabilities(vae: VAE, batch: Batch, num_samples: int) -> tuple[Tensor, Tensor]:
    """All discrete samples that can be drawn for one datum, `(T, K, D)`, and their probabilities, `(T,)`."""
    states = vae.posterior.states().double()  # type: ignore[operator]
    chosen = torch.cartesian_prod(*[torch.arange(len(states))] * num_samples).reshape(-1, num_samples)
    log_q = vae.encode(batch).log_prob(states.unsqueeze(1))[:, 0]
    return states[chosen], log_q[chosen].sum(1).exp()


def summed_bound(vae: VAE, batch: Batch, num_samples: int = 1, beta: float = 1.0) -> Tensor:
    r"""The bound of one datum as a sum over all values of its discrete samples, `()`, in nats.

    $\sum_{z_1 ... z_K} \prod_k q(z_k|x) \log \frac1K \sum_k p(x|z_k) (p(z_k) / q(z_k|x))^\beta$, that is
    L_K, and the evidence lower bound for one sample.
    """
    z, probabilities = samples_and_probabilities(vae, batch, num_samples)
    copies = copies_of(batch, len(z))
    samples = z.transpose(0, 1)
    kl = vae.encode(copies).log_prob(samples) - vae.prior.log_prob(samples)
    log_w = vae.decode(samples).log_prob(copies.x) - beta * kl
    return (probabilities * (log_w.logsumexp(0) - math.log(num_samples))).sum()


class Case(NamedTuple):
    """A model of this module, by what it is."""

    name: str
    vae: VAE

    def exact_bound(self, target: str) -> Tensor | None:
        """The bound of the model's datum that a target names, with its graph; None without a closed form.

        Args:
            target: As of an estimator: `elbo`, `elbo, beta = 2.5` or `L_5`.
        """
        batch, is_discrete = one_datum(self.vae), is_enumerable(self.vae.posterior)
        if (of_elbo := re.fullmatch(r"elbo(?:, beta = (\S+))?", target)) is not None:
            beta = float(of_elbo[1] or 1)
            if is_discrete:
                return summed_bound(self.vae, batch, beta=beta)
            return exact_elbo(self.vae, batch, beta)[0] if isinstance(self.vae.decoder, Linear) else None
        of_samples = re.fullmatch(r"L_(\d+)", target)
        if of_samples is None or not is_discrete:
            return None
        num_samples = int(of_samples[1])
        num_terms = len(self.vae.posterior.states()) ** num_samples  # type: ignore[operator]
        return summed_bound(self.vae, batch, num_samples) if num_terms <= MAX_TERMS else None


CASES: dict[str, Callable[[], VAE]] = {
    "linear-Gaussian": linear_gaussian_vae,
    "nonlinear": nonlinear_vae,
    "full covariance": partial(nonlinear_vae, family=posteriors.FullGaussian),
    "Laplace posterior": partial(nonlinear_vae, family=posteriors.Laplace),
    "two layers": hierarchical_vae,
    "binary latents": binary_vae,
    "categorical latents": categorical_vae,
}
MAIN_CASES = ("linear-Gaussian", "nonlinear", "binary latents", "categorical latents")
