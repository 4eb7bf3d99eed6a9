"""The base of datasets that torchvision downloads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torchvision

from vae_lab.datasets.base import Binarize, Split, SplitDataset, Splits, split_off
from vae_lab.datasets.files import verified_files


class Downloaded(SplitDataset):
    """Images with 256 grey levels scaled to [0, 1], in two parts of which the first is split again.

    Args:
        root: The data folder, in torchvision's layout.
        files: Path in `root` and checksum of each file.
        download: Whether torchvision may download what is missing.
        batch_size: Global batch size.
        binarize: As for `SplitDataset`.
        dequantize: As for `SplitDataset`.
        train_size: Images to train on, the validation images included, at random; None for all.
        validation_size: How many of the training images are held out for model selection.
        split_seed: Seed of the split.
        leave_out: As for `SplitDataset`.
        missing: As for `SplitDataset`.
    """

    source: ClassVar[type[torchvision.datasets.VisionDataset]]
    levels = 256

    def __init__(
        self,
        root: str,
        files: Mapping[str, str],
        download: bool = True,
        batch_size: int = 100,
        binarize: Binarize = "dynamic",
        dequantize: bool = False,
        train_size: int | None = None,
        validation_size: int = 10000,
        split_seed: int = 0,
        leave_out: Sequence[int] = (),
        missing: float = 0.0,
    ) -> None:
        super().__init__(batch_size, binarize, split_seed, dequantize, leave_out, missing)
        if train_size is not None and train_size < 1:
            raise ValueError(f"train_size must be at least 1, got {train_size}.")
        self.root = root
        self.files = files
        self.download = download
        self.train_size = train_size
        self.validation_size = validation_size

    def fetch(self, folder: Path) -> None:
        """Has torchvision download what is missing."""
        self.source(str(folder), download=True)

    def read(self, paths: list[Path]) -> tuple[Split, Split]:
        """The training and the test part, from the verified files."""
        raise NotImplementedError

    def load(self) -> Splits:
        paths = verified_files(
            self.root,
            self.files,
            self.fetch if self.download else None,
            how_to_get=f"put torchvision's {self.source.__name__} files there, or set VAE_LAB_DATA to the "
            "folder that has them, or run once with a network and dataset.download=true.",
        )
        images, test = self.read(paths)
        if self.train_size not in (None, len(images.x)):
            _, images = split_off(images, self.train_size, self.split_seed, "train_size")
        train, validation = split_off(images, self.validation_size, self.split_seed)
        return Splits(train, validation, test)
