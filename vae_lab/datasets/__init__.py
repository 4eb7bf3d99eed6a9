"""Datasets, each with a training, a validation and a test part."""

from vae_lab.datasets.binarized_mnist import BinarizedMNIST
from vae_lab.datasets.digits import Digits
from vae_lab.datasets.frey_face import FreyFace
from vae_lab.datasets.mnist import MNIST, FashionMNIST
from vae_lab.datasets.ppca import PPCA

__all__ = ["MNIST", "PPCA", "BinarizedMNIST", "Digits", "FashionMNIST", "FreyFace"]
