"""The fixed binarisation of MNIST."""

from collections.abc import Mapping

import numpy as np
import torch

from vae_lab.datasets.base import Split, SplitDataset, Splits
from vae_lab.datasets.files import verified_files


class BinarizedMNIST(SplitDataset):
    """50,000 + 10,000 + 10,000 binary digits of 28x28 pixels, binarised once and for all.

    Its test part is sorted by class, so that the first N of it are no sample.

    References:
        The neural autoregressive distribution estimator (Larochelle & Murray, 2011), section 6.

    Args:
        root: The data folder.
        files: Path in `root` and SHA-256 of the `.npz` file with `train`, `valid` and `test`, each of shape
            (N, 98): the bits of 784 pixels packed by `numpy.packbits`.
        batch_size: Global batch size.
        missing: As for `SplitDataset`.
    """

    def __init__(
        self, root: str, files: Mapping[str, str], batch_size: int = 100, missing: float = 0.0
    ) -> None:
        super().__init__(batch_size, binarize="none", missing=missing)
        self.root = root
        self.files = files

    def load(self) -> Splits:
        (path,) = verified_files(
            self.root,
            self.files,
            download=None,
            how_to_get="docs/datasets.md tells how to make it from the published text files.",
        )
        with np.load(path, allow_pickle=False) as arrays:
            return Splits(*(_unpack(arrays[name]) for name in ("train", "valid", "test")))


def _unpack(packed: np.ndarray) -> Split:
    bits = np.unpackbits(packed, axis=1, count=784)
    return Split(torch.from_numpy(bits).float().reshape(-1, 1, 28, 28))
