"""Helpers for datasets of a user's own files."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from vae_lab.datasets.base import Binarize, Split, SplitDataset, Splits, split_off
from vae_lab.errors import UserError
from vae_lab.models.likelihoods.support import extremes
from vae_lab.numerics.streamed import subsample


class OwnDataset(SplitDataset):
    """Data of a user's own, read from disk as they are needed: memory does not grow with their size.

    A part that the files do not have is split off the training part at random.

    Args:
        batch_size: Global batch size.
        binarize: As for `SplitDataset`.
        dequantize: As for `SplitDataset`.
        validation_size: Data held out for model selection: below 1 a share of them, else their number.
        test_size: Data held out for the test, likewise.
        split_seed: Seed of the split.
        num_workers: Threads that read ahead, at least 0; with 0 nothing is read ahead.
        leave_out: As for `SplitDataset`.
        missing: As for `SplitDataset`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        batch_size: int,
        binarize: Binarize,
        dequantize: bool,
        validation_size: float,
        test_size: float,
        split_seed: int,
        num_workers: int,
        leave_out: Sequence[int],
        missing: float,
    ) -> None:
        super().__init__(batch_size, binarize, split_seed, dequantize, leave_out, missing)
        if num_workers < 0:
            raise ValueError(f"num_workers must be at least 0, got {num_workers}.")
        for name, size in {"validation_size": validation_size, "test_size": test_size}.items():
            if not (0 <= size < 1 or (size >= 1 and float(size).is_integer())):
                raise ValueError(f"{name} must be a share below 1 or a whole number, got {size}.")
        self.num_workers = num_workers
        self.validation_size = validation_size
        self.test_size = test_size

    def splits(self) -> Mapping[str, Split]:
        """The parts that the files have, `train` among them."""
        raise NotImplementedError

    def load(self) -> Splits:
        parts = dict(self.splits())
        whole = len(parts["train"].x)
        for name, size in {"test": self.test_size, "validation": self.validation_size}.items():
            if name not in parts:
                count = int(size) if size >= 1 else round(size * whole)
                if count >= len(parts["train"].x):
                    raise ValueError(f"{name}_size leaves no training data of {whole}, got {size}.")
                parts["train"], parts[name] = split_off(
                    parts["train"], count, self.split_seed, f"{name}_size"
                )
        loaded = Splits(**parts)
        shapes = {name: tuple(part.x.shape[1:]) for name, part in parts.items()}
        if len(set(shapes.values())) > 1:
            raise UserError(f"dataset.path: its parts have data of different shapes, {shapes}.")
        if len(loaded.test.x) == 0:
            raise ValueError(f"test_size must leave test data, got {self.test_size} of {whole}.")
        if self.levels is None:
            self._check_values(subsample(loaded.train.x), subsample(loaded.test.x))
        return loaded

    def _check_values(self, *samples: Tensor) -> None:
        if any(bool(x.isinf().any()) for x in samples):
            raise UserError("dataset.path: the data have values that are infinite.")
        if any(bool(x.isnan().any()) for x in samples):
            self.incomplete = True
        if all(bool(x.isnan().all()) for x in samples):
            raise UserError("dataset.path: the data have no value that is a number.")
        low, high = extremes(*samples)
        if self.binarize in ("dynamic", "fixed") and (low < 0 or high > 1):
            raise ValueError(
                f"binarize={self.binarize} needs grey values in [0, 1], but the data go from {low:.3g} to "
                f"{high:.3g}; use binarize=none, or another scale."
            )
