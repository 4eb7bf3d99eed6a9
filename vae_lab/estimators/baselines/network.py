"""A network of the datum as a baseline (NVIL)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from vae_lab.estimators.base import Needs
from vae_lab.estimators.baselines.base import Baseline
from vae_lab.numerics.precision import single


class Network(Baseline):
    r"""A network $C_\psi(x)$ that predicts the learning signal of a datum, trained by least squares.

    References:
        Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014), section 2.3.1.

    Args:
        network: Makes the network from `in_shape` and `out_shape`.
    """

    requires = frozenset({Needs.WHOLE_DATA})

    def __init__(self, network: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.make = network
        self.network: nn.Module | None = None

    def prepare(self, data_shape: Sequence[int]) -> None:
        self.network = self.make(in_shape=data_shape, out_shape=(1,))

    def forward(self, signal: Tensor, x: Tensor) -> Tensor:
        assert self.network is not None
        return signal - single(self.network(x))
