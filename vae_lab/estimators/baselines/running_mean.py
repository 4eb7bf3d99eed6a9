"""A running mean as a baseline."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.baselines.base import Baseline, RunningAverage


class RunningMean(Baseline):
    r"""The exponential average of the learning signal over past steps.

    It is updated after the step, so that no sample enters its own baseline.

    References:
        Simple statistical gradient-following algorithms for connectionist reinforcement learning
        (Williams, 1992), on reinforcement comparison.

    Args:
        decay: Weight of the past, at least 0 and below 1.

    Raises:
        ValueError: If `decay` is out of its range.
    """

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        self.mean = RunningAverage(decay)

    def forward(self, signal: Tensor, x: Tensor) -> Tensor:
        return signal - self.mean.value

    def statistics(self, signal: Tensor) -> dict[str, Tensor]:
        return {"mean": signal.mean((0, 2))}

    def update(self, means: Mapping[str, Tensor]) -> None:
        self.mean.add(means["mean"])
