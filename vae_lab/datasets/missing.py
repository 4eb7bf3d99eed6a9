"""Which pixels are missing: at random, or half of an image."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from vae_lab.noise import NoiseSource, NoiseSpec

Half = Literal["top", "bottom", "left", "right"]


def at_random(
    share: float, shape: Sequence[int], noise: NoiseSource, indices: Tensor, purpose: str = "missing"
) -> Tensor:
    """Pixels that are missing completely at random, `(B, *shape)`, true where one is.

    Each is missing with the same probability, by noise of its own datum; but of every datum at least one is
    missing and one is not. A pixel of an image is missing in all its channels.

    Args:
        share: The probability, in (0, 1).
        shape: Of a datum, with two pixels at least.
        noise: Source of evaluation noise.
        indices: The numbers of the data, `(B,)`.
        purpose: Of the noise.

    Example:
        >>> at_random(0.5, (4,), NoiseSource(0), torch.arange(3)).tolist()
        [[False, False, True, True], [False, True, True, True], [True, False, True, True]]
    """
    pixels = (1, *shape[1:]) if len(shape) == 3 else tuple(shape)
    spec = {"missing": NoiseSpec("uniform", 1, pixels)}
    uniform = noise.evaluation(spec, purpose=purpose, indices=indices)["missing"][0]
    flat = uniform.flatten(1)
    missing = flat < share
    missing.scatter_(1, flat.argmin(1, keepdim=True), True)
    missing.scatter_(1, flat.argmax(1, keepdim=True), False)
    return missing.reshape(uniform.shape).expand(-1, *shape)


def half(which: Half, shape: Sequence[int]) -> Tensor:
    """The half of an image `(C, H, W)`, true where a pixel is in it; the smaller one of an odd number.

    Example:
        >>> half("right", (1, 2, 3)).int().tolist()
        [[[0, 0, 1], [0, 0, 1]]]
    """
    height, width = shape[1:]
    missing = torch.zeros(tuple(shape), dtype=torch.bool)
    places = {
        "top": missing[:, : height // 2],
        "bottom": missing[:, height - height // 2 :],
        "left": missing[:, :, : width // 2],
        "right": missing[:, :, width - width // 2 :],
    }
    places[which].fill_(True)
    return missing
