"""The variational autoencoder: prior, encoder and decoder composed into q(z|x), p(x|z) and log-weights."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from torch import Tensor, nn

from vae_lab.models.distributions.posterior import Posterior, PosteriorDistribution
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.generative import GenerativeModel
from vae_lab.models.likelihoods.base import Likelihood, PixelDistribution
from vae_lab.models.networks import Constant, NoEncoder, PerDatum
from vae_lab.noise import NoiseSource, NoiseSpec
from vae_lab.numerics.precision import for_network, single


class Batch(NamedTuple):
    """Data `x` of shape `(B, *data_shape)` and their numbers `indices` `(B,)` within their split."""

    x: Tensor
    indices: Tensor

    def take(self, places: Tensor | slice) -> "Batch":
        """The data at some places of the batch."""
        return Batch(self.x[places], self.indices[places])

    def draw(
        self, noise: NoiseSource, specs: Mapping[str, NoiseSpec], purpose: str, block: int = 0
    ) -> dict[str, Tensor]:
        """Evaluation noise of each datum, `(K, B, *event)`, on the device and of the type of the data."""
        return noise.evaluation(
            specs,
            purpose=purpose,
            indices=self.indices,
            block=block,
            device=self.x.device,
            dtype=self.x.dtype,
        )

    def draw_for_step(
        self,
        noise: NoiseSource,
        specs: Mapping[str, NoiseSpec],
        purpose: str,
        step: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> dict[str, Tensor]:
        """Training noise of a step, `(K, B, *event)`, on the device and of the type of the data."""
        return noise.training(
            specs,
            purpose=purpose,
            step=step,
            batch_size=len(self.x),
            rank=rank,
            world_size=world_size,
            device=self.x.device,
            dtype=self.x.dtype,
        )


class VAE(GenerativeModel):
    r"""A latent variable model p(z) p(x|z) with an inference model q(z|x).

    $$\log w(x, z) = \log p(x|z) + \log p(z) - \log q(z|x)$$

    Every log-density is in nats per datum: summed over pixels and latent dimensions.

    References:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), section 2 and appendix C.

    Args:
        encoder: Network from `(B, *data_shape)`, or from the data's numbers `(B,)` if it is a `PerDatum`,
            to `(B, posterior.num_outputs)`; `NoEncoder` leaves out q.
        decoder: Network from `(N, D)`, or the first layer of it, to `(N, likelihood.num_outputs * C, ...)`.
        posterior: Family of q(z|x).
        likelihood: Family of p(x|z).
        prior: p(z).
        latent_dim: `D`.

    Example:
        >>> import torch
        >>> from vae_lab.models.likelihoods import Bernoulli
        >>> from vae_lab.models.networks import MLP
        >>> from vae_lab.models.posteriors import Gaussian
        >>> from vae_lab.models.priors import StandardNormal
        >>> q, p = Gaussian(2), Bernoulli()
        >>> encoder = MLP((1, 8, 8), (q.num_outputs,), hidden=[16])
        >>> vae = VAE(encoder, MLP((2,), (1, 8, 8), hidden=[16]), q, p, StandardNormal(2), latent_dim=2)
        >>> batch = Batch(torch.zeros(5, 1, 8, 8), torch.arange(5))
        >>> q = vae.encode(batch)
        >>> z = q.transform(torch.randn(3, 5, 2))
        >>> vae.log_weight(batch.x, z, q).shape
        torch.Size([3, 5])
    """

    has_latents = True
    likelihood: Likelihood

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: Posterior,
        likelihood: Likelihood,
        prior: Prior,
        latent_dim: int,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.posterior = posterior
        self.describe_by(likelihood)
        self.prior = prior
        self.latent_dim = latent_dim
        self.layer_dims = list(prior.layer_dims) or [latent_dim]

    def generative_parameters(self) -> list[nn.Parameter]:
        parts = (self.decoder, self.likelihood, self.prior)
        return [parameter for part in parts for parameter in part.parameters()]

    def inference_parameters(self) -> list[nn.Parameter]:
        return [*self.encoder.parameters(), *self.posterior.parameters()]

    @property
    def scorer_name(self) -> str:
        return type(self.likelihood).__name__

    @property
    def has_encoder(self) -> bool:
        return not isinstance(self.encoder, NoEncoder)

    @property
    def is_amortized(self) -> bool:
        return self.has_encoder and not self.is_per_datum

    @property
    def is_per_datum(self) -> bool:
        return isinstance(self.encoder, PerDatum)

    @property
    def encodes_whole_data(self) -> bool:
        return self.is_amortized and not isinstance(self.encoder, Constant)

    def with_encoder(self, encoder: nn.Module) -> "VAE":
        """The same model, its parameters shared, with another encoder."""
        return VAE(encoder, self.decoder, self.posterior, self.likelihood, self.prior, self.latent_dim)

    def with_decoder(self, decoder: nn.Module) -> "VAE":
        """The same model, its parameters shared, with another decoder."""
        return VAE(self.encoder, decoder, self.posterior, self.likelihood, self.prior, self.latent_dim)

    def with_fixed_model(self) -> "VAE":
        """The same model, its encoder shared, with the parameters of p(x, z) cut from the graph."""
        parts = (self.decoder, self.likelihood, self.prior)
        state = [value for part in parts for value in (*part.parameters(), *part.buffers())]
        memo: dict[int, Any] = {id(value): value.detach() for value in state}  # what a copy keeps
        decoder, likelihood, prior = copy.deepcopy(parts, memo)
        return VAE(self.encoder, decoder, self.posterior, likelihood, prior, self.latent_dim)

    def encode(self, batch: Batch) -> PosteriorDistribution:
        """The approximate posterior q(z|x) of each datum.

        Raises:
            ValueError: If there is no encoder.
        """
        return self.posterior(single(self.encoder(batch.indices if self.is_per_datum else batch.x)))

    def posterior_noise(self, num_samples: int) -> dict[str, NoiseSpec]:
        """The noise of `num_samples` samples of q(z|x) per datum, by the name `posterior`."""
        return {"posterior": NoiseSpec(self.posterior.base_distribution, num_samples, (self.latent_dim,))}

    def decode(self, z: Tensor) -> PixelDistribution:
        """The distribution p(x|z) for latent variables of shape `(K, B, D)`."""
        return self.likelihood(self.decoder_outputs(z))

    def decoder_outputs(self, z: Tensor) -> Tensor:
        """The decoder's outputs, which the likelihood takes, `(K, B, likelihood.num_outputs * C, ...)`."""
        seen = for_network(z[..., : self.layer_dims[0]], self.decoder)
        outputs: Tensor = self.decoder(seen.flatten(0, 1)).unflatten(0, z.shape[:2])
        return single(outputs)

    def sample_spec(self, data_shape: Sequence[int]) -> dict[str, NoiseSpec]:
        return {"prior": self.prior.noise_spec(1), "pixels": self.likelihood.sample_spec(data_shape)}

    def sample(self, noise: Mapping[str, Tensor]) -> Tensor:
        """Data `(B, *data_shape)` drawn from p(z) p(x|z), from noise `(1, B, *event)`."""
        return self.decode(self.prior.sample(noise["prior"])).sample(noise["pixels"])[0]

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of shape `(K, B)`."""
        return self.decode(z).log_prob(x) + self.prior.log_prob(z)

    def log_weight(self, x: Tensor, z: Tensor, q: PosteriorDistribution) -> Tensor:
        """The log importance weight log p(x, z) - log q(z|x) of shape `(K, B)`."""
        return self.log_joint(x, z) - q.log_prob(z)


def has_latents(model: GenerativeModel) -> TypeGuard[VAE]:
    """Whether the model says that there are latent variables; a type checker then knows those of a VAE."""
    return model.has_latents
