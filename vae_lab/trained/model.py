"""A finished run's model, for use in Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vae_lab.config import plugins, schema
from vae_lab.config.trust import trusting
from vae_lab.datasets.base import Splits
from vae_lab.inference.importance_sampling import importance_weighted_log_likelihood
from vae_lab.models.distributions.posterior import PosteriorDistribution
from vae_lab.models.sampling import noise_for, tensor_of
from vae_lab.models.vae import VAE, Batch, has_latents
from vae_lab.runs.find import find_run
from vae_lab.trained import load as loading
from vae_lab.training.build import TrainingParts

Centre = Literal["mean", "mode"]


def load(
    run: str | Path,
    output_dir: str | Path = "outputs",
    device: torch.device | str = "cpu",
    trust: Sequence[str] = (),
) -> "TrainedModel":
    """The model of a finished run, with the weights that were tested.

    Args:
        run: The run's directory, its signature, or a beginning of that.
        output_dir: Where signatures are looked for.
        device: Where the model goes.
        trust: Packages or classes of your own that its configuration may name, such as `["mypackage"]`.

    Raises:
        UserError: If there is no such run, it is not finished, its data or checkpoint have changed, or its
            configuration names a class that is not allowed.
    """
    schema.register_schemas()
    plugins.activate()
    with trusting(trust):
        return TrainedModel(loading.load_trained(find_run(str(run), str(output_dir))), torch.device(device))


class TrainedModel:
    """A trained model: encodes, decodes, draws and scores data.

    Data have the shape and the scale of the run's dataset. All results are without gradients; `model` gives
    the module itself.

    Attributes:
        model: The `VAE`, or the model that stands in its place.
        data: The three parts of the run's dataset.
        noise: The source of the run's noise.
        device: Where the model is.
        checkpoint: Where its weights come from.
        result: The content of the run's `metrics.json`.

    Args:
        trained: The finished run.
        device: Where the model goes.
    """

    def __init__(self, trained: loading.Trained, device: torch.device) -> None:
        self.parts = trained.parts
        self.noise = trained.parts.noise
        self.checkpoint = trained.checkpoint
        self.device = device
        self.result = dict(trained.result)
        self.model = trained.parts.model.to(device)

    def __repr__(self) -> str:
        return f"<{type(self.model).__name__} of run {self.result['signature']}>"

    @property
    def data(self) -> Splits:
        return self.parts.dataset.data

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return self.parts.dataset.shape

    @torch.no_grad()
    def encode(self, x: Tensor, numbers: Tensor | None = None, part: str = "test") -> PosteriorDistribution:
        """q(z|x) of data `(B, *data_shape)`, of which `mean` is `(B, D)` and `transform` makes samples.

        Where the model has parameters of q for each training datum instead of an encoder, q is fitted to
        these.

        Args:
            x: The data.
            numbers: Theirs, `(B,)`, by which the noise of such a fit is keyed; None for 0, 1, ...
            part: Of the data, which keys it too.

        Raises:
            ValueError: If the model has no q(z|x), or the data have another shape.
        """
        batch = self.batch(x, numbers)
        return self.with_posterior(batch, part).encode(batch).detach()

    @torch.no_grad()
    def decode(self, z: Tensor, pixels: Centre = "mean") -> Tensor:
        """The means of p(x|z), or its modes, `(..., *data_shape)`, for latent variables `(..., D)`.

        Raises:
            ValueError: If the model has no z, or of another size.
        """
        vae = self._vae()
        if z.shape[-1] != vae.latent_dim:
            raise ValueError(f"z must have {vae.latent_dim} numbers per datum, got {z.shape[-1]}.")
        rows = z.to(tensor_of(self.model)).reshape(1, -1, vae.latent_dim)
        of_x = vae.decode(rows)
        return (of_x.mean if pixels == "mean" else of_x.mode)[0].unflatten(0, z.shape[:-1])

    @torch.no_grad()
    def sample_prior(self, count: int, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Latent variables drawn from the prior, `(count, D)`.

        Args:
            count: Number of draws.
            temperature: By which the noise of the prior is scaled: below 1, more likely and less varied.
            seed: Of the noise.

        Raises:
            ValueError: If the model has no z, or the temperature is not above 0, or not 1 for a prior whose
                noise is not normal, or also chooses a component.
        """
        vae = self._vae()
        spec = vae.prior.noise_spec(1)
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}.")
        if temperature != 1 and (spec.distribution != "normal" or spec.event_shape != (vae.latent_dim,)):
            raise ValueError(
                f"temperature must be 1 for {type(vae.prior).__name__}, whose noise is not normal or also "
                f"chooses a component, got {temperature}."
            )
        eps = noise_for({"prior": spec}, count, seed, tensor_of(vae))["prior"]
        return vae.prior.sample(temperature * eps)[0]

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, temperature: float = 1.0) -> Tensor:
        """Data drawn from the model, `(count, *data_shape)`.

        `decode(sample_prior(count))` are means of p(x|z) for the same z instead.

        Args:
            count: Number of draws.
            seed: Of the noise.
            temperature: Of the prior, as for `sample_prior`; the pixels' own noise is left as it is.

        Raises:
            ValueError: If it is an autoencoder, its likelihood cannot be sampled, or its prior has no such
                temperature.
        """
        self._check_density()
        noise = noise_for(self.model.sample_spec(self.data_shape), count, seed, tensor_of(self.model))
        if temperature == 1:
            return self.model.sample(noise)
        z = self.sample_prior(count, temperature, seed).unsqueeze(0)
        return self._vae().decode(z).sample(noise["pixels"])[0]

    @torch.no_grad()
    def log_likelihood(self, x: Tensor, num_samples: int = 5000) -> Tensor:
        """log p(x) of data `(B, *data_shape)`, `(B,)` in nats: exact where that can be, else the bound L_K.

        Args:
            x: The data.
            num_samples: `K` of the importance-weighted bound, at least 1.

        Raises:
            ValueError: If it is an autoencoder, the model has no q(z|x), or the data have another shape.
        """
        self._check_density()
        batch = self.batch(x)
        if not self.model.has_latents:
            return self.model.log_prob(batch.x).double()
        vae = self.with_posterior(batch)
        return importance_weighted_log_likelihood(vae, batch, self.noise, num_samples)

    def _vae(self) -> VAE:
        if not has_latents(self.model):
            raise ValueError(f"{type(self.model).__name__} has no latent variables.")
        return self.model

    def with_posterior(self, batch: Batch, part: str = "test") -> VAE:
        """The model with a q(z|x) that serves the data; their part keys the noise of a fit of q."""
        vae = self._vae()
        if not vae.has_encoder:
            raise ValueError("this model has no q(z|x); vae-lab evaluate measures=annealed needs none.")
        assert isinstance(self.parts, TrainingParts)  # as the parts of every VAE are
        return self.parts.evaluation.with_posterior(vae, batch, self.noise, part)

    def _check_density(self) -> None:
        if not self.parts.has_density:
            raise ValueError("an autoencoder has no p(x); encode and decode are what remains.")

    def batch(self, x: Tensor, numbers: Tensor | None = None) -> Batch:
        """Data beside the model, with their numbers among those that share its noise, from 0 unless given.

        Raises:
            ValueError: If the data have another shape.
        """
        if tuple(x.shape[1:]) != self.data_shape:
            wanted = ", ".join(map(str, self.data_shape))
            raise ValueError(f"x must have the shape (B, {wanted}), got {tuple(x.shape)}.")
        moved = x.to(tensor_of(self.model))
        return Batch(moved, (torch.arange(len(moved)) if numbers is None else numbers).to(moved.device))
