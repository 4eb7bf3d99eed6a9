"""The variational mixture of posteriors as prior."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.noise import NoiseSpec, component
from vae_lab.numerics.precision import single


class VampPrior(Prior):
    r"""$p(z) = \frac1K \sum_k q(z|u_k)$ for learned pseudo-inputs $u_k$, clipped to [0, 1].

    The encoder is part of the prior: gradients of log p(z) reach it, too.

    References:
        VAE with a VampPrior (Tomczak & Welling, 2018), equation 9.

    Args:
        latent_dim: `D`.
        data_shape: Shape of one pseudo-input.
        num_components: `K`, at least 1.

    Raises:
        ValueError: If `num_components` is below 1.
    """

    needs_encoder = True

    def __init__(self, latent_dim: int, data_shape: Sequence[int], num_components: int = 500) -> None:
        super().__init__()
        if num_components < 1:
            raise ValueError(f"num_components must be at least 1, got {num_components}.")
        self.latent_dim = latent_dim
        self.pseudo_inputs = nn.Parameter(0.05 + 0.01 * torch.randn(num_components, *data_shape))

    def connect(self, encoder: nn.Module, posterior: Posterior) -> None:
        # Beside the submodules: encoder and posterior are the model's, and are trained as such.
        self.__dict__["recognition"] = (encoder, posterior)

    def _outputs(self) -> Tensor:
        """The encoder's outputs for the pseudo-inputs."""
        outputs: Tensor = self.__dict__["recognition"][0](self.pseudo_inputs.clamp(0, 1))
        return single(outputs)

    @property
    def _posterior(self) -> Posterior:
        posterior: Posterior = self.__dict__["recognition"][1]
        return posterior

    def log_prob(self, z: Tensor) -> Tensor:
        count = len(self.pseudo_inputs)
        log_q = self._posterior(self._outputs()).log_prob(z.flatten(0, -2).unsqueeze(1).expand(-1, count, -1))
        return (log_q.logsumexp(1) - math.log(count)).reshape(z.shape[:-1])

    def noise_spec(self, num_samples: int) -> NoiseSpec:
        return NoiseSpec("normal", num_samples, (self.latent_dim + 1,))  # one for the choice

    def sample(self, eps: Tensor) -> Tensor:
        weights = torch.ones(len(self.pseudo_inputs), device=eps.device, dtype=eps.dtype)
        chosen = component(torch.special.ndtr(eps[..., -1].flatten()), weights)
        of_chosen = self._posterior(self._outputs()[chosen])
        own = eps[..., :-1].flatten(0, -2).unsqueeze(0)
        own = own if self._posterior.base_distribution == "normal" else torch.special.ndtr(own)
        return of_chosen.transform(own).reshape(*eps.shape[:-1], -1)
