"""From the configuration of a model to the model, with every part checked against the others."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from vae_lab.config.instantiate import instantiate
from vae_lab.config.targets import makes, parameters_of
from vae_lab.errors import UserError
from vae_lab.models.alternatives import Autoregressive
from vae_lab.models.distributions.posterior import Posterior
from vae_lab.models.distributions.prior import Prior
from vae_lab.models.likelihoods.base import Likelihood
from vae_lab.models.networks import MLP, NoEncoder, PerDatum
from vae_lab.models.networks.causal import CausalNetwork
from vae_lab.models.vae import VAE
from vae_lab.training.offer import Latents, LatentsError


def build_vae(
    data_shape: Sequence[int],
    dataset_size: int,
    latent_dim: int,
    encoder: Any,
    decoder: Any,
    posterior: Any,
    likelihood: Any,
    prior: Any,
    starts_at_mean: bool = False,
    mean_datum: Callable[[], Tensor] | None = None,
) -> VAE:
    """A VAE whose networks have the shapes that data, posterior and likelihood ask for.

    Args:
        data_shape: Shape of one datum.
        dataset_size: How many training data there are.
        latent_dim: `D`, from 1 to 1000 and beyond.
        encoder: Configuration of a network.
        decoder: Configuration of a network.
        posterior: Configuration of a posterior family.
        likelihood: Configuration of a likelihood family.
        prior: Configuration of a prior.
        starts_at_mean: Whether the decoder's last biases begin where they give the mean of the training data,
            as in the code of Burda et al. (2016); otherwise as its initialisation has them.
        mean_datum: Gives that mean.

    Raises:
        UserError: If `latent_dim` is below 1 or a part refuses its arguments.
    """
    if latent_dim < 1:
        raise UserError(f"model.latent_dim must be at least 1, got {latent_dim}.")
    q = instantiate(posterior, "model.posterior", Posterior, latent_dim=latent_dim)
    sizes = {"latent_dim": latent_dim, "data_shape": data_shape}
    p = sized(likelihood, "model.likelihood", Likelihood, sizes)
    p_z = sized(prior, "model.prior", Prior, sizes)
    _check_latents(q, p_z, p, has_encoder=not makes(encoder, "model.encoder", NoEncoder))
    if p_z.needs_encoder and makes(encoder, "model.encoder", PerDatum, NoEncoder):
        raise UserError(
            f"model.prior: {type(p_z).__name__} is made of an encoder, and model/encoder=none or per_datum "
            "is none; use model/encoder=mlp."
        )
    try:
        outputs = p.output_shape(data_shape)
    except ValueError as error:
        raise UserError(f"model.likelihood: {error}") from error
    inputs = (dataset_size,) if makes(encoder, "model.encoder", PerDatum) else data_shape
    body = instantiate(encoder, "model.encoder", nn.Module, in_shape=inputs, out_shape=(q.num_outputs,))
    seen = (*p_z.layer_dims, latent_dim)[0]
    p_z.connect(body, q)
    network = instantiate(decoder, "model.decoder", nn.Module, in_shape=(seen,), out_shape=outputs)
    if starts_at_mean and mean_datum is not None:
        _start_at(mean_datum(), network, p)
    return VAE(body, network, q, p, p_z, latent_dim)


def _start_at(mean: Tensor, network: Any, likelihood: Likelihood) -> None:
    if not isinstance(network, MLP):
        raise UserError(
            f"model.starts_at_mean sets the last biases of model/decoder=mlp, and {type(network).__name__} "
            "is none; set it to false."
        )
    try:
        network.start_at(likelihood.outputs_of_mean(mean))
    except ValueError as error:
        raise UserError(f"model.starts_at_mean: {error}") from error


def sized(node: Any, key: str, kind: Any, sizes: Mapping[str, Any]) -> Any:
    """Builds a part with those of the sizes that it takes."""
    taken = parameters_of(node, key)
    return instantiate(node, key, kind, **{name: sizes[name] for name in sizes if name in taken})


def build_autoregressive(data_shape: Sequence[int], network: Any, likelihood: Any) -> Autoregressive:
    """An autoregressive model whose network gives what the likelihood asks for.

    Args:
        data_shape: Shape of one datum.
        network: Configuration of a causal network.
        likelihood: Configuration of a likelihood family.

    Raises:
        UserError: If a part refuses its arguments.
    """
    p = instantiate(likelihood, "model.likelihood", Likelihood)
    causal = instantiate(
        network, "model.network", CausalNetwork, data_shape=data_shape, num_outputs=p.num_outputs
    )
    return Autoregressive(data_shape, causal, p)


def _check_latents(posterior: Posterior, prior: Prior, likelihood: Likelihood, has_encoder: bool) -> None:
    below, above = list(posterior.layer_dims), list(prior.layer_dims)
    try:
        if below != above:
            raise ValueError(
                "layer_dims must be those of model.prior, got "
                f"{below or 'one layer'} and {above or 'one layer'}."
            )
        posterior.check(prior)
    except ValueError as error:
        latents = Latents(posterior, prior, likelihood, has_encoder)
        raise LatentsError(f"model.posterior: {error}", latents) from error
