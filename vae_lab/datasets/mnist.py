"""MNIST and Fashion-MNIST."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torchvision
from torchvision.datasets.mnist import read_image_file, read_label_file

from vae_lab.datasets.base import Binarize, InMemoryDataset, Parts, Split, split_off
from vae_lab.datasets.files import verified_files


class MNIST(InMemoryDataset):
    """60,000 + 10,000 handwritten digits of 28x28 pixels, grey values scaled to [0, 1].

    References:
        Gradient-based learning applied to document recognition (LeCun et al., 1998).

    Args:
        root: The data folder, in torchvision's layout: `MNIST/raw/train-images-idx3-ubyte` and so on.
        files: Path in `root` and SHA-256 of training images and labels, then of test images and labels.
        download: Whether torchvision may download what is missing.
        batch_size: Global batch size.
        binarize: As for `InMemoryDataset`.
        dequantize: As for `InMemoryDataset`.
        train_size: Images to train on, the validation images included, at random; None for all 60,000.
        validation_size: How many of the training images are held out for model selection.
        split_seed: Seed of the split.
    """

    source: ClassVar = torchvision.datasets.MNIST
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
    ) -> None:
        super().__init__(batch_size, binarize, split_seed, dequantize)
        if train_size is not None and train_size < 1:
            raise ValueError(f"train_size must be at least 1, got {train_size}.")
        self.root = root
        self.files = files
        self.download = download
        self.train_size = train_size
        self.validation_size = validation_size

    def load(self) -> Parts:
        paths = verified_files(
            self.root,
            self.files,
            self._download if self.download else None,
            how_to_get=f"put torchvision's {self.source.__name__} files there, or set VAE_LAB_DATA to the "
            "folder that has them, or run once with a network and dataset.download=true.",
        )
        images = _read(*paths[:2])
        if self.train_size not in (None, len(images.x)):
            _, images = split_off(images, self.train_size, self.split_seed, "train_size")
        train, validation = split_off(images, self.validation_size, self.split_seed)
        return Parts(train, validation, test=_read(*paths[2:]))

    def _download(self, folder: Path) -> None:
        self.source(str(folder), download=True)


class FashionMNIST(MNIST):
    """60,000 + 10,000 pictures of clothing of 28x28 pixels, grey values scaled to [0, 1].

    References:
        Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms (Xiao et al., 2017).
    """

    source: ClassVar = torchvision.datasets.FashionMNIST


def _read(images: Path, labels: Path) -> Split:
    x = read_image_file(str(images)).float().div(255).unsqueeze(1)
    return Split(x, read_label_file(str(labels)))
