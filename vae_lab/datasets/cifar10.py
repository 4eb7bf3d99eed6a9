"""CIFAR-10."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from vae_lab.datasets.base import Split
from vae_lab.datasets.downloaded import Downloaded


class CIFAR10(Downloaded):
    """50,000 + 10,000 colour images of 32x32 pixels in ten classes.

    `files` are the batches of training images, then that of the test images.

    References:
        Learning multiple layers of features from tiny images (Krizhevsky, 2009).
    """

    source = torchvision.datasets.CIFAR10

    def read(self, paths: list[Path]) -> tuple[Split, Split]:
        return _read(paths[:-1]), _read(paths[-1:])


def _read(paths: Sequence[Path]) -> Split:
    batches = [_unpickled(path) for path in paths]
    x = torch.from_numpy(np.concatenate([batch["data"] for batch in batches])).float().div(255)
    labels = torch.tensor([label for batch in batches for label in batch["labels"]])
    return Split(x.reshape(-1, 3, 32, 32), labels)


def _unpickled(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        batch: dict[str, Any] = _ArraysOnly(file, encoding="latin1").load()
    return batch


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays and plain values alone, since a pickle can call anything that it names."""

    def find_class(self, module: str, name: str) -> Any:
        if (module.partition(".")[0], name) not in _ARRAY_MAKERS:
            raise ValueError(f"files must hold arrays alone, got {module}.{name}.")
        return _ARRAY_MAKERS["numpy", name]


_ARRAY_MAKERS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "_reconstruct"): np.empty(0).__reduce__()[0],
}
