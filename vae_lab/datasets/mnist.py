"""MNIST and Fashion-MNIST."""

from pathlib import Path

import torchvision
from torchvision.datasets.mnist import read_image_file, read_label_file

from vae_lab.datasets.base import Split
from vae_lab.datasets.downloaded import Downloaded


class MNIST(Downloaded):
    """60,000 + 10,000 handwritten digits of 28x28 pixels.

    `files` are training images and labels, then test images and labels.

    References:
        Gradient-based learning applied to document recognition (LeCun et al., 1998).
    """

    source = torchvision.datasets.MNIST

    def read(self, paths: list[Path]) -> tuple[Split, Split]:
        return _read(*paths[:2]), _read(*paths[2:])


class FashionMNIST(MNIST):
    """60,000 + 10,000 pictures of clothing of 28x28 pixels.

    References:
        Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms (Xiao et al., 2017).
    """

    source = torchvision.datasets.FashionMNIST


def _read(images: Path, labels: Path) -> Split:
    x = read_image_file(str(images)).float().div(255).unsqueeze(1)
    return Split(x, read_label_file(str(labels)))
