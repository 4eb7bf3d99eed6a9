"""The handwritten digits that come with scikit-learn."""

from collections.abc import Sequence

import torch

from vae_lab.datasets.base import Binarize, Split, SplitDataset, Splits, split_off


class Digits(SplitDataset):
    """1,797 handwritten digits of 8x8 pixels with 17 grey levels, scaled to [0, 1]; no file, no network.

    References:
        Optical recognition of handwritten digits (Alpaydin & Kaynak, 1998), the part in scikit-learn.

    Args:
        batch_size: Global batch size.
        binarize: As for `SplitDataset`.
        dequantize: As for `SplitDataset`.
        validation_size: Data held out for model selection.
        test_size: Data held out for the test.
        split_seed: Seed of the split.
        leave_out: As for `SplitDataset`.
        missing: As for `SplitDataset`.
    """

    levels = 17
    scale = 16.0

    def __init__(
        self,
        batch_size: int = 100,
        binarize: Binarize = "dynamic",
        dequantize: bool = False,
        validation_size: int = 200,
        test_size: int = 360,
        split_seed: int = 0,
        leave_out: Sequence[int] = (),
        missing: float = 0.0,
    ) -> None:
        super().__init__(batch_size, binarize, split_seed, dequantize, leave_out, missing)
        self.validation_size = validation_size
        self.test_size = test_size

    def load(self) -> Splits:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        x = torch.from_numpy(images).float().div(16).reshape(-1, 1, 8, 8)
        rest, test = split_off(
            Split(x, torch.from_numpy(labels)), self.test_size, self.split_seed, "test_size"
        )
        train, validation = split_off(rest, self.validation_size, self.split_seed)
        return Splits(train, validation, test)
