"""The mean of a datum's other samples as a baseline (RLOO)."""

from torch import Tensor

from vae_lab.estimators.base import Needs
from vae_lab.estimators.baselines.base import Baseline


class LeaveOneOut(Baseline):
    r"""The mean learning signal of the datum's other samples, $b_k = \frac{1}{K-1} \sum_{l \ne k} f_l$.

    References:
        Buy 4 REINFORCE samples, get a baseline for free! (Kool, van Hoof & Welling, 2019), equation 8.
    """

    least_samples = 2
    requires = frozenset({Needs.INDEPENDENT_SAMPLES})

    def forward(self, signal: Tensor, x: Tensor) -> Tensor:
        return signal - (signal.sum(0) - signal) / (len(signal) - 1)
