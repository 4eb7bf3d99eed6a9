"""Networks whose output for a pixel depends on the pixels before it alone."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_lab.models.likelihoods.base import Likelihood


class CausalNetwork(nn.Module):
    """From data `(B, *data_shape)` to outputs `(B, num_outputs * C, ...)`, in an order of the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def num_parameters(self) -> int:
        """How many free parameters it has, those that are masked left out."""
        masked = sum(int((1 - mask).sum()) for name, mask in self.named_buffers() if name.endswith("mask"))
        return sum(parameter.numel() for parameter in self.parameters()) - masked

    def sample(self, likelihood: Likelihood, eps: Tensor) -> Tensor:
        """Data drawn pixel by pixel, from noise of their shape."""
        raise NotImplementedError


class Recurrent(CausalNetwork):
    """A gated recurrent unit that reads the data number by number, in the order of memory.

    References:
        Learning phrase representations using RNN encoder-decoder (Cho et al., 2014), equations 5 to 8.

    Args:
        data_shape: Shape of one datum.
        num_outputs: Numbers for each pixel.
        hidden: Width, at least 1.

    Raises:
        ValueError: If `hidden` is below 1.

    Example:
        >>> Recurrent((1, 4, 4), num_outputs=2, hidden=8)(torch.zeros(5, 1, 4, 4)).shape
        torch.Size([5, 2, 4, 4])
    """

    def __init__(self, data_shape: Sequence[int], num_outputs: int, hidden: int) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}.")
        self.out_shape = (num_outputs * data_shape[0], *data_shape[1:])
        self.unit = nn.GRU(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        earlier = F.pad(x.flatten(1), (1, -1)).unsqueeze(-1)  # a 0 first, and no last one
        outputs, _ = self.unit(earlier)
        return self.head(outputs).transpose(1, 2).flatten(1).unflatten(1, self.out_shape)

    def sample(self, likelihood: Likelihood, eps: Tensor) -> Tensor:
        pixel, state, drawn = torch.zeros_like(eps.flatten(1)[:, :1]), None, []
        for each in eps.flatten(1).split(1, dim=1):
            hidden, state = self.unit(pixel.unsqueeze(-1), state)
            outputs = self.head(hidden[:, 0])
            pixel = likelihood(outputs.unsqueeze(0)).sample(each.unsqueeze(0))[0]
            drawn.append(pixel)
        return torch.cat(drawn, dim=1).reshape(eps.shape)


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees pixels above, and to the left in the same row; channels take turns in a pixel.

    Channel `j` belongs to the data's channel `j mod C`. Kind `A` does not see its own pixel's channel, `B`
    does; both see the channels before it.

    References:
        Pixel recurrent neural networks (van den Oord et al., 2016), section 3.4.

    Args:
        kind: `A` for the first layer, `B` for the others.
        in_channels: Of the input, a multiple of `groups_of`.
        out_channels: Of the output, a multiple of `groups_of`.
        kernel_size: Odd.
        data_channels: `C`.
    """

    def __init__(
        self,
        kind: Literal["A", "B"],
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        data_channels: int,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        middle = kernel_size // 2
        mask = torch.zeros(out_channels, in_channels, kernel_size, kernel_size)
        mask[:, :, :middle] = 1
        mask[:, :, middle, :middle] = 1
        target = (torch.arange(out_channels) % data_channels).unsqueeze(1)
        source = (torch.arange(in_channels) % data_channels).unsqueeze(0)
        mask[:, :, middle, middle] = (source < target if kind == "A" else source <= target).float()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight * self.get_buffer("mask"), self.bias)


class _Residual(nn.Module):
    def __init__(self, channels: int, data_channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            nn.ReLU(),
            MaskedConv2d("B", channels, half, 1, data_channels),
            nn.ReLU(),
            MaskedConv2d("B", half, half, 3, data_channels),
            nn.ReLU(),
            MaskedConv2d("B", half, channels, 1, data_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class PixelCNN(CausalNetwork):
    """Masked convolutions: 7x7, residual blocks, and two of 1x1; in raster order.

    References:
        Pixel recurrent neural networks (van den Oord et al., 2016), section 3 and figure 5.

    Args:
        data_shape: `(C, H, W)`.
        num_outputs: Numbers for each pixel.
        channels: Of the hidden layers, a multiple of `2 C`.
        num_blocks: Residual blocks, at least 0.

    Raises:
        ValueError: If the data are no images, or a number is out of its range.

    Example:
        >>> PixelCNN((1, 6, 5), num_outputs=2, channels=8, num_blocks=1)(torch.zeros(3, 1, 6, 5)).shape
        torch.Size([3, 2, 6, 5])
    """

    def __init__(self, data_shape: Sequence[int], num_outputs: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        if len(data_shape) != 3:
            raise ValueError(
                f"a convolutional network needs images of shape (C, H, W), got data of shape "
                f"{tuple(data_shape)}; use model/network=recurrent for vectors."
            )
        colours = data_shape[0]
        if channels < 1 or channels % (2 * colours):
            raise ValueError(f"channels must be a multiple of {2 * colours}, got {channels}.")
        if num_blocks < 0:
            raise ValueError(f"num_blocks must be at least 0, got {num_blocks}.")
        self.layers = nn.Sequential(
            MaskedConv2d("A", colours, channels, 7, colours),
            *(_Residual(channels, colours) for _ in range(num_blocks)),
            nn.ReLU(),
            MaskedConv2d("B", channels, channels, 1, colours),
            nn.ReLU(),
            MaskedConv2d("B", channels, num_outputs * colours, 1, colours),
        )
        self.reach = 3 + num_blocks  # rows above that an output depends on

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def sample(self, likelihood: Likelihood, eps: Tensor) -> Tensor:
        x = torch.zeros_like(eps)
        channels, height, width = x.shape[1:]
        for row in range(height):
            first = max(0, row - self.reach)
            for column in range(width):
                for channel in range(channels):
                    outputs = self.layers(x[:, :, first : row + 1])[:, :, -1:, column : column + 1]
                    here = eps[:, :, row : row + 1, column : column + 1]
                    drawn = likelihood(outputs.unsqueeze(0)).sample(here.unsqueeze(0))[0]
                    x[:, channel, row, column] = drawn[:, channel, 0, 0]
        return x
