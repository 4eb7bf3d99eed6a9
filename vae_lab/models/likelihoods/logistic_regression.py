"""Labels given features, by weights that are the latent variables."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from vae_lab.models.likelihoods.base import Likelihood, Support
from vae_lab.numerics.precision import without_autocast


@dataclass(frozen=True)
class Labels:
    """p(labels | features, w) of tables `(B, rows, F + 1)`, for weights `(K, B, F)`."""

    weights: Tensor
    num_rows: int

    def log_prob(self, x: Tensor) -> Tensor:
        signs = 2 * x[..., -1:] - 1
        margins = self._logits(signs * x[..., :-1])
        return F.logsigmoid(margins).sum(-1) * (self.num_rows / x.shape[1])

    def accuracy(self, x: Tensor) -> Tensor:
        """The share of the labels that have the greater probability, averaged over the samples."""
        probability = self._logits(x[..., :-1]).sigmoid().mean(0)
        return ((probability > 0.5) == (x[..., -1] > 0.5)).double().mean(-1)

    def _logits(self, features: Tensor) -> Tensor:
        """The products of weights and rows, `(K, B, rows)`."""
        with without_autocast(features):
            return (self.weights.transpose(0, 1) @ features.transpose(1, 2)).transpose(0, 1)


class LogisticRegression(Likelihood):
    r"""Bayesian logistic regression: one datum is a whole table, and z are the weights.

    $$\log p(x|w) = \frac{N}{n} \sum_{i=1}^n \log p(y_i|a_i, w), \quad
      p(y_i = 1|a_i, w) = \mathrm{sigmoid}(a_i^\top w)$$

    for a table of `n` rows, features $a_i$ and then the label $y_i$ of 0 or 1. The evidence lower bound is
    that of all `N` labels, in nats, and log p(x) the model evidence. A table of fewer rows, drawn from all of
    them at random, gives an unbiased estimate of the log-likelihood.

    References:
        Monte Carlo Gradient Estimation in Machine Learning (Mohamed, Rosca, Figurnov & Mnih, 2020), section
        8.

    Args:
        data_shape: `(N, F + 1)`, that of the whole table.

    Raises:
        ValueError: If the data are no tables.

    Example:
        >>> import torch
        >>> table = torch.tensor([[[2.0, 1.0], [2.0, 0.0]]])
        >>> labels = LogisticRegression((2, 2))(torch.zeros(1, 1, 1))
        >>> round(labels.log_prob(table).item(), 4)
        -1.3863
    """

    num_outputs: int = 1
    base_distribution = None
    support: Support = "real"
    is_over_pixels = False

    def __init__(self, data_shape: Sequence[int]) -> None:
        super().__init__()
        if len(data_shape) != 2 or data_shape[1] < 2:
            raise ValueError(
                f"needs a table of features and labels, and the data have the shape {tuple(data_shape)}; "
                "use model=logistic_regression dataset=breast_cancer."
            )
        self.num_rows, self.num_features = data_shape[0], data_shape[1] - 1

    def output_shape(self, data_shape: Sequence[int]) -> tuple[int, ...]:
        return (self.num_features,)

    def measures(self, outputs: Tensor, x: Tensor) -> dict[str, Tensor]:
        return {"accuracy": self(outputs).accuracy(x)}

    def forward(self, outputs: Tensor) -> Labels:
        return Labels(outputs, self.num_rows)
