"""A running average over recent minibatches, which also finds what is not finite."""

import torch
from torch import Tensor


class Window:
    """Batch means of the last steps, kept on the device: no synchronisation until they are read.

    Args:
        size: Steps that one average covers.

    Example:
        >>> window = Window(size=2)
        >>> window.add({"elbo": torch.tensor([1.0, 3.0])})
        >>> window.add({"elbo": torch.tensor([5.0, 7.0])})
        >>> window.is_full, window.names, window.means().tolist()
        (True, ['elbo'], [4.0])
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self.names: list[str] = []
        self.values = torch.empty(0)

    @property
    def is_full(self) -> bool:
        """Whether the next step begins a new window."""
        return self.count == self.size

    def add(self, terms: dict[str, Tensor]) -> None:
        """Appends the batch means of terms of shape `(B,)`; a full window starts anew."""
        if self.is_full:
            self.count = 0
        means = torch.stack([term.mean() for term in terms.values()])
        if self.names != list(terms):
            self.names = list(terms)
            self.values = means.new_empty(self.size, len(terms))
        self.values[self.count] = means
        self.count += 1

    def means(self) -> Tensor:
        """Each term averaged over the window, in the order of `names`."""
        return self.values[: self.count].double().mean(0)

    def first_not_finite(self) -> tuple[int, str, float] | None:
        """Position in the window, name and value of the first term that is NaN or infinite."""
        finite = self.values[: self.count].isfinite()
        if bool(finite.all()):
            return None
        row, column = finite.logical_not().nonzero()[0].tolist()
        return row, self.names[column], float(self.values[row, column])

    def state_dict(self) -> dict[str, object]:
        return {"names": self.names, "values": self.values[: self.count].clone()}

    def load_state_dict(self, state: dict) -> None:
        self.names = state["names"]
        self.count = len(state["values"])
        self.values = state["values"].new_empty(self.size, len(self.names))
        self.values[: self.count] = state["values"]
