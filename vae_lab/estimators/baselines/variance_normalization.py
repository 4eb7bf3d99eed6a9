"""Division of the learning signal by its running standard deviation."""

from collections.abc import Mapping

from torch import Tensor

from vae_lab.estimators.baselines.base import Baseline, RunningAverage


class VarianceNormalization(Baseline):
    r"""Divides the signal by $\max(1, v)$, with $v$ its running standard deviation.

    The gradient of q's parameters keeps its direction and loses its length: it is biased by a factor. That
    takes `kl=sampled`: a KL term in closed form would keep its length, and weigh more.

    References:
        Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014), section 2.3.2.

    Args:
        decay: Weight of the past, at least 0 and below 1.

    Raises:
        ValueError: If `decay` is out of its range.
    """

    rescales = True
    bias = "variance normalisation divides the gradient of q by a running standard deviation"

    def __init__(self, decay: float = 0.9) -> None:
        super().__init__()
        self.mean = RunningAverage(decay)
        self.mean_square = RunningAverage(decay)

    def forward(self, signal: Tensor, x: Tensor) -> Tensor:
        variance = self.mean_square.value - self.mean.value.square()
        return signal / variance.clamp_min(1.0).sqrt()

    def statistics(self, signal: Tensor) -> dict[str, Tensor]:
        return {"mean": signal.mean((0, 2)), "mean_square": signal.square().mean((0, 2))}

    def update(self, means: Mapping[str, Tensor]) -> None:
        self.mean.add(means["mean"])
        self.mean_square.add(means["mean_square"])
