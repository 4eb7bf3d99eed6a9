"""The breast-cancer data that come with scikit-learn, as one table."""

import torch
from torch import Tensor

from vae_lab.datasets.base import Split, SplitDataset, Splits
from vae_lab.datasets.batches import Redraw

ROWS = 569


class BreastCancer(SplitDataset):
    """One datum: a table of 569 rows of 31 features and a label, for Bayesian logistic regression.

    The features are 30 measurements of cell nuclei, each with mean 0 and standard deviation 1 over the table,
    and a constant 1; the label is 1 where the tumour is benign. Validation and test are the same table.
    Training sees rows of it, drawn anew at every step.

    References:
        Nuclear feature extraction for breast tumor diagnosis (Street, Wolberg & Mangasarian, 1993), the part
        in scikit-learn; Monte Carlo Gradient Estimation in Machine Learning (Mohamed et al., 2020), section
        8, for the regression.

    Args:
        batch_size: 1, as there is one table.
        rows: How many rows a training step sees, from 1 to 569, each at most once; None for all.

    Raises:
        ValueError: If `rows` is out of its range.

    Example:
        >>> data = BreastCancer()
        >>> data.data.train.x.shape, data.redraw(data.data.train.x, torch.rand(1, 569, 32)).shape
        (torch.Size([1, 569, 32]), torch.Size([1, 32, 32]))
    """

    def __init__(self, batch_size: int = 1, rows: int | None = 32) -> None:
        super().__init__(batch_size)
        if rows is not None and not 1 <= rows <= ROWS:
            raise ValueError(f"rows must be at least 1 and at most {ROWS}, or null for all, got {rows}.")
        self.rows = rows
        self.sees_parts = rows is not None and rows < ROWS

    def load(self) -> Splits:
        from sklearn.datasets import load_breast_cancer
        from sklearn.preprocessing import scale

        features, labels = (torch.from_numpy(each) for each in load_breast_cancer(return_X_y=True))
        standardised = torch.from_numpy(scale(features))
        table = torch.cat([standardised, torch.ones(ROWS, 1), labels.unsqueeze(1)], dim=1)
        whole = Split(table.float().unsqueeze(0))
        return Splits(whole, whole, whole)

    @property
    def redraw(self) -> Redraw | None:
        return None if self.rows is None else self._some_rows

    def _some_rows(self, x: Tensor, uniform: Tensor) -> Tensor:
        chosen = uniform[..., :1].argsort(dim=1)[:, : self.rows]
        return x.take_along_dim(chosen, dim=1)

    def measured(self, split: Split, purpose: str) -> Split:
        """The whole table."""
        return split
