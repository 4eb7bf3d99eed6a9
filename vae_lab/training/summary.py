"""Averages over a dataset, each datum counting once."""

import torch
from torch import Tensor


class Summary:
    """Sums named terms over batches of any size, in float64; a term may be given for some of the data only.

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
        """Adds the terms, each of shape `(B,)` or shorter, of one batch; every batch has the same ones."""
        self.names = list(terms)
        sums = [torch.stack([term.detach().double().sum(), _number(term)]) for term in terms.values()]
        self.batches.append(torch.stack(sums))

    def sums(self) -> Tensor:
        """The sum of each term and the number of data that it was given for, `(terms, 2)`."""
        return torch.stack(self.batches).sum(0)

    def means(self, sums: Tensor) -> dict[str, float]:
        """Means by name, from sums that may come from several processes."""
        values = (sums[:, 0] / sums[:, 1]).tolist()
        return dict(zip(self.names, values, strict=True))


def _number(term: Tensor) -> Tensor:
    return torch.tensor(float(len(term)), dtype=torch.float64, device=term.device)
