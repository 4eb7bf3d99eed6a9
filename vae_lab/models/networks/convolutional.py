"""Convolutional encoders and transposed-convolutional decoders for images of any size."""

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from vae_lab.models.networks.activations import Activation, activation

KERNEL, STRIDE, PADDING = 3, 2, 1  # each layer halves the height and width, rounding up


class ConvolutionalEncoder(nn.Module):
    """Strided convolutions, then one linear layer.

    Args:
        in_shape: `(C, H, W)` of one image.
        out_shape: Shape of one output.
        channels: Channels after each convolution; each halves the image, rounding up.
        activation: Nonlinearity after each convolution.

    Raises:
        ValueError: If `in_shape` is not an image's, or a number of channels is below 1.

    Example:
        >>> import torch
        >>> ConvolutionalEncoder((1, 28, 20), (4,), channels=[8, 16])(torch.zeros(5, 1, 28, 20)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int],
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        check_images(in_shape, channels)
        sizes = halvings(in_shape, len(channels))
        self.convolutions = nn.Sequential(*_convolutions([in_shape[0], *channels], activation))
        features = channels[-1] * sizes[-1][0] * sizes[-1][1]
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(features, math.prod(out_shape)))
        self.out_shape = tuple(out_shape)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.convolutions(images)).unflatten(1, self.out_shape)


class ConvolutionalDecoder(nn.Module):
    """One linear layer, then transposed convolutions that retrace the sizes of `ConvolutionalEncoder`.

    Args:
        in_shape: Shape of one latent vector.
        out_shape: `(C, H, W)` of one output.
        channels: Channels before each transposed convolution; each doubles the image.
        activation: Nonlinearity before each transposed convolution.

    Raises:
        ValueError: If `out_shape` is not an image's, or a number of channels is below 1.

    Example:
        >>> import torch
        >>> ConvolutionalDecoder((2,), (1, 28, 20), channels=[16, 8])(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 28, 20])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        out_shape: Sequence[int],
        channels: Sequence[int],
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        check_images(out_shape, channels)
        sizes = halvings(out_shape, len(channels))[::-1]
        self.smallest = (channels[0], *sizes[0])
        self.head = nn.Linear(math.prod(in_shape), math.prod(self.smallest))
        self.convolutions = nn.Sequential(
            *_transposed_convolutions([*channels, out_shape[0]], sizes, activation)
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.convolutions(self.head(z.flatten(1)).unflatten(1, self.smallest))


def check_images(shape: Sequence[int], channels: Sequence[int]) -> None:
    """Raises `ValueError` if data are no images, or a number of channels is below 1."""
    if len(shape) != 3:
        raise ValueError(
            f"a convolutional network needs images of shape (C, H, W), got data of shape {tuple(shape)}; "
            "use model=mlp for vectors."
        )
    if not channels or any(width < 1 for width in channels):
        raise ValueError(f"channels must hold at least one number, each at least 1, got {list(channels)}.")


def halvings(shape: Sequence[int], depth: int) -> list[tuple[int, int]]:
    """Height and width before the first and after each of `depth` halvings."""
    sizes = [(shape[1], shape[2])]
    for _ in range(depth):
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _convolutions(channels: Sequence[int], name: Activation) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, KERNEL, STRIDE, PADDING), activation(name)]
    return layers


def _transposed_convolutions(
    channels: Sequence[int], sizes: Sequence[tuple[int, int]], name: Activation
) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for (before, after), (small, large) in zip(pairwise(channels), pairwise(sizes), strict=True):
        extra = (large[0] - (2 * small[0] - 1), large[1] - (2 * small[1] - 1))
        convolution = nn.ConvTranspose2d(before, after, KERNEL, STRIDE, PADDING, output_padding=extra)
        layers += [activation(name), convolution]
    return layers
