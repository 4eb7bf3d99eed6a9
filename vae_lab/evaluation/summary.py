"""Averages over a dataset, each datum counting once."""

import torch
from torch import Tensor


class Summary:
    """Sums named terms over batches of any size, in float64.

    Example:
        >>> summary = Summary()
        >>> summary.add({"elbo": torch.tensor([1.0, 2.0])})
        >>> summary.add({"elbo": torch.tensor([6.0])})
        >>> summary.means(summary.sums())
        {'elbo': 3.0}
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.batches: list[Tensor] = []

    def add(self, terms: dict[str, Tensor]) -> None:
        """Adds the terms, each of shape `(B,)`, of one batch."""
        self.names = list(terms)
        columns = [term.detach().double() for term in terms.values()]
        columns.append(torch.ones_like(columns[0]))
        self.batches.append(torch.stack(columns).sum(1))

    def sums(self) -> Tensor:
        """The sum of each term and, last, the number of data."""
        return torch.stack(self.batches).sum(0)

    def means(self, sums: Tensor) -> dict[str, float]:
        """Means by name, from sums that may come from several processes."""
        values = (sums[:-1] / sums[-1]).tolist()
        return dict(zip(self.names, values, strict=True))
