"""Monte Carlo EM: the model learns from posterior samples of chains that persist."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vae_lab.estimators.base import Estimate, Estimator, Needs
from vae_lab.inference import hmc
from vae_lab.models.vae import VAE, Batch
from vae_lab.noise import NoiseSpec

INITIAL_STEP = 0.1


class MonteCarloEM(Estimator):
    r"""Monte Carlo EM without an encoder: samples of p(z|x) by Hamiltonian Monte Carlo, then weight updates.

    $$\nabla_\theta \log p_\theta(x) = E_{p_\theta(z|x)}[\nabla_\theta \log p_\theta(x, z)]
      \simeq \frac1K \sum_k \nabla_\theta \log p_\theta(x, z_k)$$

    The chains of a datum persist from one visit to the next, in the checkpoint too; on each visit they make
    one transition of `num_leapfrog` steps, all data of the batch at once, and the batch serves for
    `updates_per_batch` optimizer steps with the samples acquired. Training samples count once for each of
    these steps. One step size serves all chains and is tuned to `acceptance` as they run.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 5 and appendix E.

    Args:
        num_samples: `K`, chains of each datum, at least 1.
        num_leapfrog: Leapfrog steps of a transition, at least 1.
        acceptance: Acceptance probability to which the step size is tuned, between 0 and 1.
        updates_per_batch: Optimizer steps with one batch and its samples, at least 1.

    Raises:
        ValueError: If a number is out of its range.
    """

    target = "log_likelihood"
    selection = "log_likelihood_hmc"
    bias = "monte_carlo_em: the chains follow the posterior while the weights move, and lag behind it"
    requires = Estimator.requires - {Needs.ENCODER} | {
        Needs.NO_ENCODER,
        Needs.REAL_LATENTS,
        Needs.STATE_PER_DATUM,
    }

    z: Tensor  # (K, N, D)
    begun: Tensor  # (N,), whether a datum was visited
    step_size: Tensor
    accepted: Tensor  # mean acceptance probability of the last transition

    def __init__(
        self,
        num_samples: int = 1,
        num_leapfrog: int = 10,
        acceptance: float = 0.9,
        updates_per_batch: int = 5,
    ) -> None:
        super().__init__()
        at_least_one = {
            "num_samples": num_samples,
            "num_leapfrog": num_leapfrog,
            "updates_per_batch": updates_per_batch,
        }
        for name, value in at_least_one.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if not 0 < acceptance < 1:
            raise ValueError(f"acceptance must be between 0 and 1, got {acceptance}.")
        self.num_samples = num_samples
        self.num_leapfrog = num_leapfrog
        self.acceptance = acceptance
        self.updates_per_batch = updates_per_batch
        self.register_buffer("step_size", torch.tensor(INITIAL_STEP))
        self.register_buffer("accepted", torch.tensor(acceptance))
        self.updates = 0

    def prepare(self, vae: VAE, data_shape: Sequence[int], dataset_size: int) -> None:
        self.register_buffer("z", torch.zeros(self.num_samples, dataset_size, vae.latent_dim))
        self.register_buffer("begun", torch.zeros(dataset_size, dtype=torch.bool))

    def noise_spec(self, vae: VAE, batch: Batch) -> dict[str, NoiseSpec]:
        if not self._is_due:
            return {}
        return {
            "begin": vae.prior.noise_spec(self.num_samples),
            "momentum": NoiseSpec("normal", self.num_samples, (vae.latent_dim,)),
            "accept": NoiseSpec("uniform", self.num_samples, ()),
        }

    def forward(self, vae: VAE, batch: Batch, noise: Mapping[str, Tensor]) -> Estimate:
        z = self.z[:, batch.indices]
        state = {}
        if self._is_due:
            begun = self.begun[batch.indices].unsqueeze(-1)
            z = torch.where(begun, z, vae.prior.sample(noise["begin"]))
            z, acceptance = self._transition(vae, batch.x, z, noise)
            state = {"z": z, "acceptance": acceptance}
        log_likelihood = vae.decode(z).log_prob(batch.x).mean(0)
        log_prior = vae.prior.log_prob(z).mean(0)
        log_joint = log_likelihood + log_prior
        terms = {
            "reconstruction": log_likelihood.detach(),
            "log_joint": log_joint.detach(),
            "acceptance": self.accepted.expand_as(log_joint).clone(),
            "step_size": self.step_size.expand_as(log_joint).clone(),
        }
        return Estimate(log_joint, log_joint.detach(), terms, state=state)

    def keep(self, indices: Tensor, state: Mapping[str, Tensor]) -> None:
        if "z" in state:
            once = _first_of_each(indices)
            self.z[:, indices[once]] = state["z"][:, once]
            self.begun[indices] = True
            self.accepted.copy_(state["acceptance"].mean())
            self.step_size.copy_(hmc.tuned(self.step_size, self.accepted, self.acceptance))
        self.updates += 1

    def get_extra_state(self) -> int:
        """How many updates there were, in the state dict."""
        return self.updates

    def set_extra_state(self, state: int) -> None:
        """Takes over what `get_extra_state` gave."""
        self.updates = state

    @property
    def _is_due(self) -> bool:
        """Whether the batch is a new one, for which samples must be drawn."""
        return self.updates % self.updates_per_batch == 0

    def _transition(
        self, vae: VAE, x: Tensor, z: Tensor, noise: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        def log_joint(z: Tensor) -> Tensor:
            return vae.log_joint(x, z)

        with torch.autocast(x.device.type, enabled=False):  # energies are compared
            chains = hmc.start_chains(log_joint, z, self.step_size)
            chains, acceptance = hmc.transition(
                log_joint, chains, noise["momentum"], noise["accept"], self.num_leapfrog
            )
        return chains.z, acceptance


def _first_of_each(indices: Tensor) -> Tensor:
    """Where each number stands first: a batch over the end of an epoch may hold a datum twice."""
    ordered, order = indices.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]
