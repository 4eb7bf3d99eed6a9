"""Replicates of a gradient: the same parameters and data, other noise."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from vae_lab.estimators.base import Estimator
from vae_lab.models.vae import VAE, Batch


class _Given(nn.Module):
    """Stands for an encoder whose outputs are known."""

    outputs: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs


def encodes_the_batch_alone(
    vae: VAE, estimator: Estimator, batch: Batch, noise: Mapping[str, Tensor]
) -> bool:
    """Whether the encoder sees the data of the batch alone, not data that the model generates."""
    seen: list[Tensor] = []
    hook = vae.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        estimator(vae, batch, noise)
    finally:
        hook.remove()
    return all(torch.equal(x, batch.x) for x in seen)


class Objective(nn.Module):
    """An estimator's surrogate as a function of the encoder's outputs and the remaining parameters.

    Args:
        vae: The model.
        estimator: The estimator.
        by_outputs: Whether the encoder's outputs for the batch stand for the encoder; else its parameters are
            among the remaining ones.
    """

    def __init__(self, vae: VAE, estimator: Estimator, by_outputs: bool = True) -> None:
        super().__init__()
        self.vae = vae.with_encoder(_Given() if by_outputs else vae.encoder)
        self.estimator = estimator
        self.by_outputs = by_outputs
        state = dict(self.named_parameters()) | dict(self.named_buffers())
        self.state = {name: value.detach() for name, value in state.items()}
        of_model = dict(self.vae.named_parameters())
        self.others = {name: self.state[f"vae.{name}"] for name in of_model}

    def forward(self, outputs: Tensor, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        encoder = self.vae.encoder
        if not isinstance(encoder, _Given):
            return self.estimator(self.vae, batch, noise).surrogate
        encoder.outputs = outputs
        try:
            return self.estimator(self.vae, batch, noise).surrogate
        finally:
            del encoder.outputs

    def surrogate(
        self, others: Mapping[str, Tensor], outputs: Tensor, batch: Batch, noise: Mapping[str, Tensor]
    ) -> Tensor:
        """The surrogate, `(B,)`, without a graph to any parameter but those given."""
        state = self.state | {f"vae.{name}": value for name, value in others.items()}
        return functional_call(self, state, (outputs, batch, noise))

    def replicates(
        self, outputs: Tensor, batch: Batch, noise: Mapping[str, Tensor], generative: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Gradients of `R` replicates, the noise having `R` in front.

        Returns:
            By the encoder's outputs, of the sum over the data, `(R, B, P)`; and by the remaining parameters,
            of the mean over the data, with `R` in front: by all of them, or by those of the encoder alone if
            `generative` is false.
        """
        others = self.others
        if not generative:
            others = {name: value for name, value in others.items() if name.startswith("encoder.")}
        if not others:

            def total(own: Tensor, eps: dict[str, Tensor]) -> Tensor:
                return self.surrogate({}, own, batch, eps).sum()

            return vmap(grad(total), in_dims=(None, 0))(outputs, dict(noise)), {}

        def both(own: Tensor, parameters: dict[str, Tensor], eps: dict[str, Tensor]) -> Tensor:
            return self.surrogate(parameters, own, batch, eps).sum()

        of_outputs, of_parameters = vmap(grad(both, argnums=(0, 1)), in_dims=(None, None, 0))(
            outputs, others, dict(noise)
        )
        return of_outputs, {name: part / len(batch.x) for name, part in of_parameters.items()}


def per_datum_gradients(
    objective: Objective, encoder: nn.Module, batch: Batch, noise: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Gradients of each datum's own surrogate by every parameter, averaged over replicates.

    Args:
        objective: Of an estimator that does not couple data.
        encoder: The model's encoder.
        batch: `B` data.
        noise: Noise `(R, K, B, *event)`.

    Returns:
        Each parameter's, with `B` in front; those of the encoder begin with `encoder.`.
    """
    own = {name: parameter.detach() for name, parameter in encoder.named_parameters()}

    def mean(
        inference: dict[str, Tensor], generative: dict[str, Tensor], x: Tensor, eps: dict[str, Tensor]
    ) -> Tensor:
        outputs = functional_call(encoder, inference, (x.unsqueeze(0),))
        copies = next(iter(eps.values())).shape[1] if eps else 1
        same = Batch(x.expand(copies, *x.shape), torch.zeros(copies, dtype=torch.long, device=x.device))
        return objective.surrogate(generative, outputs.expand(copies, -1), same, eps).mean()

    of_datum = {name: eps.permute(2, 1, 0, *range(3, eps.dim())) for name, eps in noise.items()}
    inference, generative = vmap(grad(mean, argnums=(0, 1)), in_dims=(None, None, 0, 0))(
        own, objective.others, batch.x, of_datum
    )
    return {f"encoder.{name}": part for name, part in inference.items()} | generative


def stacked(draws: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The noise of several replicates with the replicate in front."""
    return {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]}
