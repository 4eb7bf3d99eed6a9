"""Which pixels are missing, as a user says it: a share, a half, or a file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vae_lab.datasets.missing import Half, at_random, half
from vae_lab.errors import UserError
from vae_lab.files.writing import FORMATS
from vae_lab.noise import NoiseSource

Mask = Callable[
    [Tensor], Tensor
]  # from the numbers of some data `(B,)` to what they miss, `(B, *data_shape)`

WHITE = 127  # above which a pixel of an image is white


def given_mask(key: str, missing: float | str, shape: Sequence[int], count: int, noise: NoiseSource) -> Mask:
    """The missing pixels of some data.

    Args:
        key: The argument that says it, for messages.
        missing: A share in (0, 1), of pixels that are missing completely at random; `top`, `bottom`, `left`
            or `right`, half of an image; a `.npy` file, true where a pixel is missing, for one datum or for
            all; a `.png` file, whose white pixels are missing.
        shape: Of one datum.
        count: How many data there are.
        noise: Source of evaluation noise.

    Raises:
        ValueError: If it is none of these, or hides everything or nothing of a datum; it begins with the key.
        UserError: If the file cannot be read.
    """
    if not isinstance(missing, str):
        return _share(key, float(missing), shape, noise)
    if missing in get_args(Half):
        if len(shape) != 3:
            raise ValueError(f"{key}={missing} is for images, and the data have the shape {tuple(shape)}.")
        return _same(key, missing, half(missing, shape))  # type: ignore[arg-type]
    path = Path(missing).expanduser()
    if path.suffix.lower() not in (".npy", ".png"):
        raise ValueError(
            f"{key} must be a share in (0, 1), {', '.join(get_args(Half))}, or a .npy or .png file, got "
            f"{missing}."
        )
    if not path.is_file():
        raise UserError(f"{key}: there is no file {path.absolute()}.")
    return _of_file(key, path, shape, count)


def _share(key: str, share: float, shape: Sequence[int], noise: NoiseSource) -> Mask:
    if not 0 < share < 1:
        hides = "everything" if share >= 1 else "nothing"
        raise ValueError(f"{key} must be a share in (0, 1), got {share:g}, which hides {hides}.")
    if np.prod(shape[1:] if len(shape) == 3 else shape) < 2:
        raise ValueError(f"{key} needs data of two pixels at least, got the shape {tuple(shape)}.")
    return lambda indices: at_random(share, shape, noise, indices)


def _of_file(key: str, path: Path, shape: Sequence[int], count: int) -> Mask:
    values = _read(key, path)
    if values.dtype != bool:
        if not np.isin(values, (0, 1)).all():
            raise UserError(f"{key}: {path} must hold true and false, or 1 and 0.")
        values = values.astype(bool)
    mask, whole = torch.from_numpy(values), tuple(shape)
    without_channels = whole[1:] if len(whole) == 3 else whole
    if tuple(mask.shape) in (whole, without_channels):
        return _same(key, str(path), mask.expand(whole))
    if tuple(mask.shape) not in ((count, *whole), (count, *without_channels)):
        raise UserError(
            f"{key}: {path} has the shape {tuple(mask.shape)}; must have {whole}, that of a datum, or "
            f"{(count, *whole)}, that of all data."
        )
    if mask.shape[1:] != whole:
        mask = mask.unsqueeze(1).expand(-1, *shape)
    hidden = mask.flatten(1)
    for hides, which in {"everything": hidden.all(1), "nothing": ~hidden.any(1)}.items():
        if bool(which.any()):
            raise ValueError(f"{key}={path} hides {hides} of datum {int(which.nonzero()[0])}.")
    return lambda indices: mask[indices.cpu()]


def _same(key: str, name: str, mask: Tensor) -> Mask:
    """The same for every datum."""
    if bool(mask.all()) or not bool(mask.any()):
        raise ValueError(f"{key}={name} hides {'everything' if bool(mask.any()) else 'nothing'} of a datum.")
    return lambda indices: mask.expand(len(indices), *mask.shape)


def _read(key: str, path: Path) -> np.ndarray:
    try:
        if path.suffix.lower() == ".npy":
            values: np.ndarray = np.load(path, allow_pickle=False)
            return values
        with Image.open(path, formats=FORMATS) as image:
            return np.asarray(image.convert("L")) > WHITE
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{key}: {path} cannot be read ({error}).") from error
