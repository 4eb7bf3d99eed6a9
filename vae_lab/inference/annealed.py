"""Annealed importance sampling, and its reverse, between which the marginal log-likelihood lies."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vae_lab.inference import hmc
from vae_lab.inference.terms import Term, difference, of_unknown_error
from vae_lab.inference.weights import monte_carlo_variance
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSource, NoiseSpec

Initial = Literal["prior", "encoder"]
CHUNK_ROWS = 2000  # chains at a time: as many as stay in a CPU's cache
NUM_PILOT_CHAINS = 4  # chains of each datum that tune the step sizes
STEEPNESS = 4.0  # of the schedule


@dataclass(frozen=True)
class AnnealedImportanceSampling:
    r"""Chains that are led from a simple density to the posterior, and weighed by how they went.

    $$\log f_t(z) = (1 - \beta_t) \log q_0(z) + \beta_t \log p(x, z), \quad
      \log w = \sum_{t=1}^T (\beta_t - \beta_{t-1}) \log \frac{p(x, z_{t-1})}{q_0(z_{t-1})}$$

    with $z_0 \sim q_0$ and $z_t$ from a transition of Hamiltonian Monte Carlo that leaves $f_t$ invariant.
    $E[w] = p(x)$, so that $\log \frac1K \sum_k w_k$ is below log p(x) in expectation. From an exact sample of
    the posterior, which simulated data have, the reverse gives $E[1/w] = 1/p(x)$ and what is above it. The
    steps are tuned by other chains before, and $\beta$ follows a sigmoid.

    References:
        Annealed importance sampling (Neal, 2001), section 2; Sandwiching the marginal likelihood using
        bidirectional Monte Carlo (Grosse, Ghahramani & Adams, 2015), section 4; On the quantitative analysis
        of decoder-based generative models (Wu, Burda, Salakhutdinov & Grosse, 2017), section 3.2.

    Args:
        num_temperatures: `T`, at least 1; with 1 it is importance sampling from $q_0$.
        num_chains: `K`, at least 2 for its error to be known.
        num_leapfrog: Leapfrog steps of a transition, at least 1.
        acceptance: Acceptance probability to which step sizes are tuned.
        initial: $q_0$: the `prior`, or q(z|x) of the `encoder`.

    Raises:
        ValueError: If a number is out of its range.
    """

    num_temperatures: int = 500
    num_chains: int = 16
    num_leapfrog: int = 10
    acceptance: float = 0.65
    initial: Initial = "prior"

    def __post_init__(self) -> None:
        for name, least in {"num_temperatures": 1, "num_chains": 2, "num_leapfrog": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not 0 < self.acceptance < 1:
            raise ValueError(f"acceptance must be between 0 and 1, got {self.acceptance}.")

    def forward(self, vae: VAE, batch: Batch, noise: NoiseSource) -> Tensor:
        """The log weights of forward chains, `(K, B)` in float64, in nats.

        Args:
            vae: The model.
            batch: `B` data.
            noise: Source of evaluation noise: a datum's weights depend on its number and the seed alone.
        """
        return self._in_chunks(vae, batch, noise, None)

    def reverse(self, vae: VAE, batch: Batch, noise: NoiseSource, z: Tensor) -> Tensor:
        """The log weights of reverse chains, `(K, B)` in float64, in nats.

        Args:
            vae: The model.
            batch: `B` data that were drawn from the model.
            noise: Source of evaluation noise.
            z: The latent variables from which they were drawn, `(B, D)`: samples of the exact posterior.
        """
        return self._in_chunks(vae, batch, noise, z)

    def _in_chunks(self, vae: VAE, batch: Batch, noise: NoiseSource, z: Tensor | None) -> Tensor:
        rows = max(1, CHUNK_ROWS // self.num_chains)
        parts = []
        for start in range(0, len(batch.x), rows):
            some = batch.take(slice(start, start + rows))
            path = _Path(vae, some, noise, self)
            with torch.autocast(batch.x.device.type, enabled=False):  # energies to compare
                step_sizes = path.tuned()
                own = None if z is None else z[start : start + rows]
                parts.append(path.forward(step_sizes) if own is None else path.reverse(step_sizes, own))
        return torch.cat(parts, dim=1)


class _Path:
    """The way from q_0 to the posterior for a few data."""

    def __init__(
        self, vae: VAE, batch: Batch, noise: NoiseSource, settings: AnnealedImportanceSampling
    ) -> None:
        self.vae, self.batch, self.noise, self.settings = vae, batch, noise, settings
        with torch.no_grad():
            self.q = vae.encode(batch) if settings.initial == "encoder" else None
        t = torch.linspace(
            -STEEPNESS, STEEPNESS, settings.num_temperatures + 1, dtype=torch.float64
        ).sigmoid()
        self.betas = ((t - t[0]) / (t[-1] - t[0])).tolist()

    def tuned(self) -> list[Tensor]:
        """Step sizes of each temperature, `(B,)`, found by chains that serve nothing else."""
        z = self._begin("pilot", NUM_PILOT_CHAINS)
        size, sizes = torch.full_like(z[0, :, 0], 0.1), []
        for index, beta in enumerate(self.betas[1:], start=1):
            z, size = self._transition("pilot", index, beta, z, size, tune=True)
            sizes.append(size)
        return sizes

    def forward(self, step_sizes: list[Tensor]) -> Tensor:
        """Log weights from q_0 to the posterior, `(K, B)`."""
        z = self._begin("forward", self.settings.num_chains)
        log_weight = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
        for index in range(1, len(self.betas)):
            log_weight += self._increment(index, z)
            if index < len(step_sizes):
                z, _ = self._transition("forward", index, self.betas[index], z, step_sizes[index - 1])
        return log_weight

    def reverse(self, step_sizes: list[Tensor], z: Tensor) -> Tensor:
        """Log weights of the way back from samples of the posterior, `(K, B)`."""
        z = z.expand(self.settings.num_chains, *z.shape)
        log_weight = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
        for index in range(len(step_sizes), 0, -1):
            z, _ = self._transition("reverse", index, self.betas[index], z, step_sizes[index - 1])
            log_weight += self._increment(index, z)
        return log_weight

    @torch.no_grad()
    def _increment(self, index: int, z: Tensor) -> Tensor:
        ratio = self.vae.log_joint(self.batch.x, z) - self._log_initial(z)
        return (self.betas[index] - self.betas[index - 1]) * ratio.double()

    def _log_initial(self, z: Tensor) -> Tensor:
        return self.vae.prior.log_prob(z) if self.q is None else self.q.log_prob(z)

    def _begin(self, purpose: str, chains: int) -> Tensor:
        if self.q is None:
            return self.vae.prior.sample(
                self._draw(purpose, 0, {"z": self.vae.prior.noise_spec(chains)})["z"]
            )
        spec = self.vae.posterior_noise(chains)["posterior"]
        return self.q.transform(self._draw(purpose, 0, {"z": spec})["z"])

    def _transition(
        self, purpose: str, index: int, beta: float, z: Tensor, size: Tensor, tune: bool = False
    ) -> tuple[Tensor, Tensor]:
        def log_density(z: Tensor) -> Tensor:
            log_joint = self.vae.log_joint(self.batch.x, z)
            return beta * log_joint + (1 - beta) * self._log_initial(z)

        chains = len(z)
        draws = self._draw(
            purpose,
            index,
            {
                "momentum": NoiseSpec("normal", chains, (self.vae.latent_dim,)),
                "accept": NoiseSpec("uniform", chains, ()),
            },
        )
        moved, acceptance = hmc.transition(
            log_density,
            hmc.start_chains(log_density, z, size),
            draws["momentum"],
            draws["accept"],
            self.settings.num_leapfrog,
        )
        if tune:
            size = hmc.tuned(size, acceptance.mean(0), self.settings.acceptance)
        return moved.z, size

    def _draw(self, purpose: str, index: int, specs: dict[str, NoiseSpec]) -> dict[str, Tensor]:
        return self.batch.draw(self.noise, specs, f"ais {purpose}", index)


def annealed_log_likelihood(
    vae: VAE, batch: Batch, noise: NoiseSource, annealed: AnnealedImportanceSampling
) -> dict[str, Term]:
    """The annealed estimate of log p(x) of some data, and what brackets it for data that the model draws.

    Args:
        vae: The model.
        batch: `B` data.
        noise: Source of evaluation noise.
        annealed: The chains.

    Returns:
        `log_likelihood_ais` of the data, and `simulated_lower` and `simulated_upper` of as many that are
        drawn from p(x, z), where they can be: in expectation their log p(x) lies between these,
        `simulated_gap` apart.
    """
    forward = annealed.forward(vae, batch, noise)
    terms = {"log_likelihood_ais": Term(log_mean_weight(forward), monte_carlo_variance(forward))}
    if vae.likelihood.base_distribution is None:
        return terms
    z, simulated = simulate(vae, batch, noise)
    lower = annealed.forward(vae, simulated, noise)
    upper = annealed.reverse(vae, simulated, noise, z)
    below = Term(log_mean_weight(lower), monte_carlo_variance(lower))
    above = of_unknown_error(-log_mean_weight(-upper))  # all chains begin at one sample of the posterior
    return terms | {
        "simulated_lower": below,
        "simulated_upper": above,
        "simulated_gap": difference(above, below),
    }


def log_mean_weight(log_weight: Tensor) -> Tensor:
    """The logarithm of the mean weight of `K` chains `(K, B)`, `(B,)`."""
    return log_weight.logsumexp(0) - math.log(len(log_weight))


@torch.no_grad()
def simulate(vae: VAE, batch: Batch, noise: NoiseSource) -> tuple[Tensor, Batch]:
    """As many data as the batch has, drawn from p(x|z), and the z `(B, D)` that they come from."""
    distribution = vae.likelihood.base_distribution
    if distribution is None:
        raise ValueError(f"{type(vae.likelihood).__name__} has no samples.")
    specs = {"z": vae.prior.noise_spec(1), "x": NoiseSpec(distribution, 1, tuple(batch.x.shape[1:]))}
    draws = batch.draw(noise, specs, "simulate")
    z = vae.prior.sample(draws["z"])
    return z[0], Batch(vae.decode(z).sample(draws["x"])[0], batch.indices)
