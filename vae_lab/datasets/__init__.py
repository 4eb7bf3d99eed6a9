"""Datasets, each with a training, a validation and a test part."""

from vae_lab.datasets.array import Array
from vae_lab.datasets.binarized_mnist import BinarizedMNIST
from vae_lab.datasets.breast_cancer import BreastCancer
from vae_lab.datasets.cifar10 import CIFAR10
from vae_lab.datasets.digits import Digits
from vae_lab.datasets.frey_face import FreyFace
from vae_lab.datasets.image_folder import ImageFolder
from vae_lab.datasets.mnist import MNIST, FashionMNIST
from vae_lab.datasets.omniglot import Omniglot
from vae_lab.datasets.ppca import PPCA
from vae_lab.datasets.table import Table

__all__ = [
    "CIFAR10",
    "MNIST",
    "PPCA",
    "Array",
    "BinarizedMNIST",
    "BreastCancer",
    "Digits",
    "FashionMNIST",
    "FreyFace",
    "ImageFolder",
    "Omniglot",
    "Table",
]
