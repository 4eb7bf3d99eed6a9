"""The marginal likelihood of a datum from samples of its posterior."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.inference import hmc
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, NoiseSpec

GOOD_BELOW, WARN_ABOVE = 5, 10  # latent dimensions
INITIAL_STEP = 0.1
CHUNK_PAIRS = 1_000_000  # of a start and a datum at a time
JITTER = 0.3  # by which a step may be longer or shorter than what was tuned


@dataclass(frozen=True)
class MarginalLikelihood:
    r"""The estimator of appendix D: a density fitted to posterior samples, and the reciprocal of a mean.

    1. HMC draws samples of p(z|x), its chains beginning at points that are chosen, in proportion to p(x, z),
    among many; 2. a density q(z), a mixture of a Gaussian for each chain, is fitted to them; 3. with fresh
    samples $z_l$ of the posterior

    $$p(x) \simeq \left( \frac1L \sum_{l=1}^L \frac{q(z_l)}{p(z_l)\, p(x|z_l)} \right)^{-1}$$

    It needs no encoder. It is good below about 5 latent dimensions, as the paper says. Chains that began
    anywhere would not find narrow posteriors, and a chain that is lost rules the mean: on MNIST with three
    latent dimensions and 1,000 training data samples of the prior ended 70 nats too low.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix D, with the settings of appendix E.

    Args:
        num_samples: `L`, posterior samples of each datum to fit q, and as many again, at least 2.
        num_chains: Chains of each datum that run side by side; the samples are shared among them.
        num_starts: Points, the same for all data, among which the chains' beginnings are chosen.
        num_leapfrog: Leapfrog steps of a transition.
        burn_in: Transitions of each chain before the first sample, in which step sizes are tuned.
        acceptance: Acceptance probability to which they are tuned.
        num_data: How many data of a part are measured, its first ones (the paper took 1,000); None for all.

    Raises:
        ValueError: If a number is out of its range.
    """

    num_samples: int = 50
    num_chains: int = 5
    num_starts: int = 10_000
    num_leapfrog: int = 4
    burn_in: int = 30
    acceptance: float = 0.9
    num_data: int | None = None

    def __post_init__(self) -> None:
        for name, least in {
            "num_samples": 2,
            "num_chains": 1,
            "num_starts": 1,
            "num_leapfrog": 1,
            "burn_in": 0,
        }.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.num_data is not None and self.num_data < 1:
            raise ValueError(f"num_data must be at least 1, got {self.num_data}.")
        if self.num_samples % self.num_chains or self.num_samples == self.num_chains:
            raise ValueError(f"num_samples must be a multiple of num_chains, got {self.num_samples}.")
        if not 0 < self.acceptance < 1:
            raise ValueError(f"acceptance must be between 0 and 1, got {self.acceptance}.")

    def __call__(self, vae: VAE, batch: Batch, noise: NoiseSource) -> Tensor:
        """The estimate of log p(x) of each datum, `(B,)`, in nats.

        Args:
            vae: The model, whose prior and decoder alone are used.
            batch: `B` data.
            noise: Source of evaluation noise: a datum's estimate depends on its number and the seed alone.
        """
        if vae.latent_dim > WARN_ABOVE:
            warnings.warn(
                f"the marginal likelihood by posterior samples is good below about {GOOD_BELOW} latent "
                f"dimensions, and this model has {vae.latent_dim}.",
                stacklevel=2,
            )
        if len(batch.x) == 0:
            return batch.x.new_zeros(0)
        with torch.autocast(batch.x.device.type, enabled=False):  # a covariance, and energies to compare
            return self._estimate(vae, batch, noise)

    def _estimate(self, vae: VAE, batch: Batch, noise: NoiseSource) -> Tensor:
        x = batch.x

        def log_joint(z: Tensor) -> Tensor:
            return vae.log_joint(x, z)

        per_chain = self.num_samples // self.num_chains
        transitions = self.burn_in + 2 * per_chain
        draws = self._noise(vae, batch, noise, transitions)
        z = _chosen(vae, x, draws["starts"], draws["choose"])
        chains = hmc.start_chains(log_joint, z, torch.full_like(x.flatten(1)[:, 0], INITIAL_STEP))
        kept, values = [], []
        for step in range(transitions):
            chains, acceptance = hmc.transition(
                log_joint,
                chains,
                draws["momentum"][step],
                draws["accept"][step],
                self.num_leapfrog,
                stretch=1 + JITTER * (2 * draws["stretch"][step] - 1),
            )
            if step < self.burn_in:
                chains.step_size = hmc.tuned(chains.step_size, acceptance.mean(0), self.acceptance)
            else:
                kept.append(chains.z)
                values.append(chains.log_density)
        fitted = _Mixture(torch.stack(kept[:per_chain]))
        fresh, log_p = torch.stack(kept[per_chain:]), torch.stack(values[per_chain:])
        ratios = (fitted.log_prob(fresh) - log_p).flatten(0, 1)
        return math.log(len(ratios)) - ratios.logsumexp(0)

    def _noise(self, vae: VAE, batch: Batch, noise: NoiseSource, transitions: int) -> dict[str, Tensor]:
        chains = self.num_chains
        specs = {
            "starts": vae.prior.noise_spec(self.num_starts)._replace(shared=True),
            "choose": NoiseSpec("uniform", chains, ()),
            "momentum": NoiseSpec("normal", transitions * chains, (vae.latent_dim,)),
            "accept": NoiseSpec("uniform", transitions * chains, ()),
            "stretch": NoiseSpec("uniform", transitions * chains, ()),
        }
        draws = batch.draw(noise, specs, "hmc")
        for name in ("momentum", "accept", "stretch"):
            draws[name] = draws[name].unflatten(0, (transitions, chains))
        return draws


@torch.no_grad()
def _chosen(vae: VAE, x: Tensor, starts: Tensor, uniform: Tensor) -> Tensor:
    """Points drawn in proportion to p(x, z), `(K, B, D)`.

    Every other point comes from a prior twice as wide, since narrow posteriors may lie in its tails.

    Args:
        vae: The model.
        x: `B` data.
        starts: Noise of the prior, `(S, 1, D)`.
        uniform: Noise of the choice, `(K, B)`.
    """
    wider = torch.ones_like(starts)
    wider[::2] = 2
    z = vae.prior.sample(wider * starts)
    pixels, log_prior = vae.decode(z), vae.prior.log_prob(z)
    chosen = []
    rows = max(1, CHUNK_PAIRS // len(z))
    for some, draws in zip(x.split(rows), uniform.split(rows, dim=1), strict=True):
        cumulative = (pixels.log_prob(some) + log_prior).softmax(0).cumsum(0)  # (S, B)
        below = torch.searchsorted(cumulative.T.contiguous(), draws.T.contiguous())
        chosen.append(z[below.clamp(max=len(z) - 1).T, 0])
    return torch.cat(chosen, dim=1)


class _Mixture:
    """A Gaussian around the mean of each chain, all with the covariance that chains have within.

    So it follows a posterior of several modes, too.

    Args:
        samples: `(L, K, B, D)` of each datum.
    """

    def __init__(self, samples: Tensor) -> None:
        means = samples.mean(0)
        centred = samples - means
        covariance = torch.einsum("lkbi,lkbj->bij", centred, centred) / (len(means) * (len(samples) - 1))
        jitter = 1e-6 * torch.eye(samples.shape[-1], dtype=samples.dtype, device=samples.device)
        self.chains = torch.distributions.MultivariateNormal(means, covariance + jitter)

    def log_prob(self, z: Tensor) -> Tensor:
        """The log-density at samples `(L, K, B, D)`, `(L, K, B)`."""
        log_probs = self.chains.log_prob(z.unsqueeze(2))
        return log_probs.logsumexp(2) - math.log(log_probs.shape[2])
