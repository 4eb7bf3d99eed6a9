"""Residual convolutional encoders and decoders for images of any size."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from vae_lab.models.networks.activations import Activation
from vae_lab.models.networks.activations import activation as make_activation
from vae_lab.models.networks.convolutional import check_images, halvings

Norm = Literal["none", "group", "batch"]
GROUPS = 8  # of channels that are normalised together, or fewer where they do not divide


def _norm(name: Norm, channels: int) -> nn.Module:
    if name == "batch":
        raise ValueError(
            "norm must not be batch: the bound of a datum would depend on the others of its batch, and be "
            "none; use norm=group."
        )
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels) if name == "group" else nn.Identity()


class _Block(nn.Module):
    """Norm, activation and convolution, twice, beside the input itself."""

    def __init__(self, before: int, after: int, name: Activation, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _norm(norm, before),
            make_activation(name),
            nn.Conv2d(before, after, 3, padding=1),
            _norm(norm, after),
            make_activation(name),
            nn.Conv2d(after, after, 3, padding=1),
        )
        self.skip = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.layers(x)


class ResidualEncoder(nn.Module):
    """A convolution, then residual blocks with the image halved after each, then one linear layer.

    References:
        Identity mappings in deep residual networks (He et al., 2016), figure 1b.

    Args:
        in_shape: `(C, H, W)` of one image.
        out_shape: Shape of one output.
        channels: Channels of each block; each halves the image, rounding up.
        activation: Nonlinearity.
        norm: `group` normalises groups of channels of each datum, `none` nothing.

    Raises:
        ValueError: If `in_shape` is not an image's, a number of channels is below 1, or `norm` is `batch`.

    Example:
        >>> import torch
        >>> ResidualEncoder((3, 32, 28), (4,), channels=[8, 16])(torch.zeros(5, 3, 32, 28)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int],
        activation: Activation = "silu",
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        check_images(in_shape, channels)
        self.stem = nn.Conv2d(in_shape[0], channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            _Block(before, after, activation, norm) for before, after in pairwise([channels[0], *channels])
        )
        height, width = halvings(in_shape, len(channels))[-1]
        self.norm = _norm(norm, channels[-1])
        self.head = nn.Linear(channels[-1] * height * width, math.prod(out_shape))
        self.activation = make_activation(activation)
        self.out_shape = tuple(out_shape)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = F.avg_pool2d(block(x), 2, ceil_mode=True)
        return self.head(self.activation(self.norm(x)).flatten(1)).unflatten(1, self.out_shape)


class ResidualDecoder(nn.Module):
    """One linear layer, then residual blocks with the image doubled before each, then a convolution.

    The sizes are those of `ResidualEncoder`, backwards.

    Args:
        in_shape: Shape of one latent vector.
        out_shape: `(C, H, W)` of one output.
        channels: Channels of each block; each doubles the image.
        activation: Nonlinearity.
        norm: As for `ResidualEncoder`.

    Raises:
        ValueError: If `out_shape` is not an image's, a number of channels is below 1, or `norm` is `batch`.

    Example:
        >>> import torch
        >>> ResidualDecoder((2,), (3, 32, 28), channels=[16, 8])(torch.zeros(5, 2)).shape
        torch.Size([5, 3, 32, 28])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int],
        activation: Activation = "silu",
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        check_images(out_shape, channels)
        smallest, *self.sizes = halvings(out_shape, len(channels))[::-1]
        self.smallest = (channels[0], *smallest)
        self.head = nn.Linear(math.prod(in_shape), math.prod(self.smallest))
        self.blocks = nn.ModuleList(
            _Block(before, after, activation, norm) for before, after in pairwise([channels[0], *channels])
        )
        self.last = nn.Sequential(
            _norm(norm, channels[-1]),
            make_activation(activation),
            nn.Conv2d(channels[-1], out_shape[0], 3, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.head(z.flatten(1)).unflatten(1, self.smallest)
        for block, size in zip(self.blocks, self.sizes, strict=True):
            x = block(F.interpolate(x, size=size))
        return self.last(x)
