"""The marginal likelihood of a datum from samples of its posterior."""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_lab.evaluation import hmc
from vae_lab.noise import NoiseSource, NoiseSpec
from vae_lab.vae import VAE, Batch

GOOD_BELOW, WARN_ABOVE = 5, 10  # latent dimensions
INITIAL_STEP = 0.1
JITTER = 0.3  # by which a step may be longer or shorter than what was tuned


@dataclass(frozen=True)
class MarginalLikelihood:
    r"""The estimator of appendix D: a density fitted to posterior samples, and the reciprocal of a mean.

    1. HMC draws samples of p(z|x); 2. a Gaussian q(z), with a full covariance, is fitted to them; 3. with
    fresh samples $z_l$ of the posterior

    $$p(x) \simeq \left( \frac1L \sum_{l=1}^L \frac{q(z_l)}{p(z_l)\, p(x|z_l)} \right)^{-1}$$

    It needs no encoder. It is good below about 5 latent dimensions, as the paper says.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix D, with the settings of appendix E.

    Args:
        num_samples: `L`, posterior samples of each datum to fit q, and as many again, at least 2.
        num_chains: Chains of each datum that run side by side; the samples are shared among them.
        num_leapfrog: Leapfrog steps of a transition.
        burn_in: Transitions of each chain before the first sample, in which step sizes are tuned.
        acceptance: Acceptance probability to which they are tuned.
        num_data: How many data of a part are measured, its first ones (the paper took 1,000); None for all.

    Raises:
        ValueError: If a number is out of its range.
    """

    num_samples: int = 50
    num_chains: int = 5
    num_leapfrog: int = 4
    burn_in: int = 50
    acceptance: float = 0.9
    num_data: int | None = None

    def __post_init__(self) -> None:
        for name, least in {"num_samples": 2, "num_chains": 1, "num_leapfrog": 1, "burn_in": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if self.num_data is not None and self.num_data < 1:
            raise ValueError(f"num_data must be at least 1, got {self.num_data}.")
        if self.num_samples % self.num_chains:
            raise ValueError(f"num_samples must be a multiple of num_chains, got {self.num_samples}.")
        if not 0 < self.acceptance < 1:
            raise ValueError(f"acceptance must be between 0 and 1, got {self.acceptance}.")

    def __call__(self, vae: VAE, batch: Batch, noise: NoiseSource, begin: Tensor | None = None) -> Tensor:
        """The estimate of log p(x) of each datum, `(B,)`, in nats.

        Args:
            vae: The model, whose prior and decoder alone are used.
            batch: `B` data.
            noise: Source of evaluation noise: a datum's estimate depends on its number and the seed alone.
            begin: Where the chains begin, `(B, D)`, such as the encoder's means; None for the prior.
        """
        if vae.latent_dim > WARN_ABOVE:
            warnings.warn(
                f"the marginal likelihood by posterior samples is good below about {GOOD_BELOW} latent "
                f"dimensions, and this model has {vae.latent_dim}; use importance sampling.",
                stacklevel=2,
            )
        x = batch.x
        if len(x) == 0:
            return x.new_zeros(0)

        def log_joint(z: Tensor) -> Tensor:
            return vae.log_joint(x, z)

        per_chain = self.num_samples // self.num_chains
        transitions = self.burn_in + 2 * per_chain
        draws = self._noise(vae, batch, noise, transitions)
        z = begin.expand(self.num_chains, *begin.shape) if begin is not None else draws["begin"]
        chains = hmc.start(log_joint, z, torch.full_like(x.flatten(1)[:, 0], INITIAL_STEP))
        kept, values = [], []
        for number in range(transitions):
            chains, acceptance = hmc.transition(
                log_joint,
                chains,
                draws["momentum"][number],
                draws["accept"][number],
                self.num_leapfrog,
                stretch=1 + JITTER * (2 * draws["stretch"][number] - 1),
            )
            if number < self.burn_in:
                chains.step_size = hmc.tuned(chains.step_size, acceptance.mean(0), self.acceptance)
            else:
                kept.append(chains.z)
                values.append(chains.log_density)
        fitted = _gaussian(torch.cat(kept[:per_chain]))
        fresh, log_p = torch.cat(kept[per_chain:]), torch.cat(values[per_chain:])
        ratios = fitted.log_prob(fresh) - log_p
        return math.log(len(ratios)) - ratios.logsumexp(0)

    def _noise(self, vae: VAE, batch: Batch, noise: NoiseSource, transitions: int) -> dict[str, Tensor]:
        chains = self.num_chains
        specs = {
            "begin": NoiseSpec("normal", chains, (vae.latent_dim,)),
            "momentum": NoiseSpec("normal", transitions * chains, (vae.latent_dim,)),
            "accept": NoiseSpec("uniform", transitions * chains, ()),
            "stretch": NoiseSpec("uniform", transitions * chains, ()),
        }
        draws = noise.evaluation(
            specs, purpose="hmc", indices=batch.indices, device=batch.x.device, dtype=batch.x.dtype
        )
        begin = vae.prior.sample(draws["begin"])
        later = ("momentum", "accept", "stretch")
        return {"begin": begin} | {name: draws[name].unflatten(0, (transitions, chains)) for name in later}


def _gaussian(samples: Tensor) -> torch.distributions.MultivariateNormal:
    """The Gaussian with the mean and the covariance of samples `(L, B, D)` of each datum."""
    mean = samples.mean(0)
    centred = samples - mean
    covariance = torch.einsum("lbi,lbj->bij", centred, centred) / (len(samples) - 1)
    jitter = 1e-6 * torch.eye(samples.shape[-1], dtype=samples.dtype, device=samples.device)
    return torch.distributions.MultivariateNormal(mean, covariance + jitter)
