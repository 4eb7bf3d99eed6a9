"""The linear network."""

from collections.abc import Sequence

from vae_lab.models.networks.mlp import MLP


class Linear(MLP):
    """An affine map; as encoder and decoder of a Gaussian model it makes the VAE probabilistic PCA.

    Args:
        in_shape: Shape of one input.
        out_shape: Shape of one output.
        init_std: As for `MLP`.
    """

    def __init__(
        self, in_shape: Sequence[int], out_shape: Sequence[int], init_std: float | None = None
    ) -> None:
        super().__init__(in_shape, out_shape, hidden=[], init_std=init_std)
