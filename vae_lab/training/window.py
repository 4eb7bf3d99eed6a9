"""A running average over recent minibatches, which also finds what is not finite."""

from itertools import groupby

import torch
from torch import Tensor


class Window:
    """Batch means of the last steps, kept on the device: no synchronisation until they are read.

    A term may be absent at some of the steps: its average is over those that have it.

    Args:
        size: Steps that one average covers.

    Example:
        >>> window = Window(size=2)
        >>> window.add({"elbo": torch.tensor([1.0, 3.0])})
        >>> window.add({"elbo": torch.tensor([5.0, 7.0]), "kl": torch.tensor([0.5, 0.5])})
        >>> window.is_full, window.names, window.means().tolist()
        (True, ['elbo', 'kl'], [4.0, 0.5])
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.steps: list[tuple[tuple[str, ...], Tensor]] = []  # the terms of each step, and their means

    @property
    def count(self) -> int:
        """Steps in the window."""
        return len(self.steps)

    @property
    def is_full(self) -> bool:
        """Whether the next step begins a new window."""
        return self.count == self.size

    @property
    def names(self) -> list[str]:
        """The terms of any of the steps."""
        return list(dict.fromkeys(name for names, _ in self.steps for name in names))

    def add(self, terms: dict[str, Tensor]) -> None:
        """Appends the batch means of terms of shape `(B,)`; a full window starts anew."""
        if self.is_full:
            self.steps = []
        self.steps.append((tuple(terms), torch.stack([term.mean() for term in terms.values()])))

    def means(self) -> Tensor:
        """Each term averaged over the steps that have it, in the order of `names`."""
        values, present = self._table()
        return values.double().sum(0) / present.sum(0)

    def first_not_finite(self) -> tuple[int, str, float] | None:
        """Position in the window, name and value of the first term that is NaN or infinite."""
        values, _ = self._table()
        finite = values.isfinite()
        if bool(finite.all()):
            return None
        row, column = finite.logical_not().nonzero()[0].tolist()
        return row, self.names[column], float(values[row, column])

    def state_dict(self) -> dict[str, object]:
        values, present = self._table()
        return {"names": self.names, "values": values, "present": present}

    def load_state_dict(self, state: dict) -> None:
        names, values = state["names"], state["values"]
        present = state.get("present", torch.ones(values.shape, dtype=torch.bool)).cpu()
        self.steps = [
            (tuple(name for name, there in zip(names, has.tolist(), strict=True) if there), row[has])
            for row, has in zip(values, present, strict=True)
        ]

    def _table(self) -> tuple[Tensor, Tensor]:
        """The means `(steps, names)`, 0 where a step has no such term, and where it has one."""
        names = self.names
        if not self.steps:
            return torch.zeros(0, 0), torch.zeros(0, 0, dtype=torch.bool)
        values = self.steps[-1][1].new_zeros(self.count, len(names))  # restored steps are on the CPU
        present = torch.zeros_like(values, dtype=torch.bool)
        start = 0
        for own, steps in groupby(self.steps, key=lambda step: step[0]):
            means = torch.stack([each.to(values) for _, each in steps])
            rows, columns = slice(start, start + len(means)), [names.index(name) for name in own]
            values[rows, columns], present[rows, columns] = means, True
            start += len(means)
        return values, present
