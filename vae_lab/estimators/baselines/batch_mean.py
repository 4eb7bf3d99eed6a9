"""The mean over a batch's other data as a baseline."""

from torch import Tensor

from vae_lab.estimators.base import Needs
from vae_lab.estimators.baselines.base import Baseline


class BatchMean(Baseline):
    r"""The mean learning signal of the batch's other data; needs neither state nor further samples.

    It couples the data of a batch, which can therefore not be shared among processes. A batch of one datum
    has no other data, and its signal stays as it is.
    """

    requires = frozenset({Needs.WHOLE_BATCH})

    def forward(self, signal: Tensor, x: Tensor) -> Tensor:
        of_datum = signal.mean(0)
        others = (of_datum.sum(0) - of_datum) / max(1, len(of_datum) - 1)
        return signal - others
