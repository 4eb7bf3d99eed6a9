"""A user's own array, read from disk as it is needed."""

import struct
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from vae_lab.datasets.base import Binarize, Split, Splits
from vae_lab.datasets.own import OwnDataset
from vae_lab.errors import UserError, did_you_mean
from vae_lab.numerics.streamed import StreamedTensor

TABLES = (".csv", ".parquet")
SCALES = (255, 65535)  # of grey levels of 8 and 16 bits
CHANNELS = (1, 3, 4)  # that images have
READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
KERAS = {  # the names in archives of Keras
    "x_train": "train", "y_train": "train_labels", "x_test": "test", "y_test": "test_labels",
    "x_val": "validation", "y_val": "validation_labels",
}  # fmt: skip
PART_NAMES = [*Splits._fields, *(f"{part}_labels" for part in Splits._fields), "labels"]
LOCAL_HEADER = 30  # bytes of a member's header in a zip file before its name


class Array(OwnDataset):
    """An array in a `.npy` file or several in a `.npz` file, never held whole in memory.

    An array has the shape `(N, D)` of vectors, `(N, H, W)` of grey images, or `(N, C, H, W)`. A `.npz` file
    has `train` and, if they are not to be split off it at random, `validation` and `test`; or one array of
    any name. Integers named `train_labels` and so on, or `labels`, are their labels. Names as in the archives
    of Keras are known, `x_train`, `y_train` and so on; others are given by `keys`. It is written by
    `numpy.savez`, not compressed. NaN stands for a pixel that is missing, which `estimator=miwae` allows.

    Args:
        path: The file.
        batch_size: Global batch size.
        binarize: As for `SplitDataset`.
        dequantize: As for `SplitDataset`; the values must be bytes.
        scale: Values are divided by this; None for 255 if they are bytes, else 1.
        keys: The array of the file that is `train`, `test_labels` and so on; others are left alone.
        channels_last: Whether images are `(N, H, W, C)`; None for an error where that is likely.
        validation_size: Data held out for model selection: below 1 a share of them, else their number.
        test_size: Data held out for the test, likewise.
        split_seed: Seed of the split.
        num_workers: Threads that read ahead, at least 0.
        leave_out: As for `SplitDataset`.
        missing: As for `SplitDataset`.

    Raises:
        UserError: If the file does not hold such arrays.
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        path: str,
        batch_size: int = 100,
        binarize: Binarize = "none",
        dequantize: bool = False,
        scale: float | None = None,
        channels_last: bool | None = None,
        validation_size: float = 0.1,
        test_size: float = 0.1,
        split_seed: int = 0,
        num_workers: int = 2,
        leave_out: Sequence[int] = (),
        missing: float = 0.0,
        keys: dict[str, str] | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        self.arrays = _by_part(_arrays(self.path), keys, self.path)
        if scale is not None and not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}.")
        kinds = {str(array.dtype) for array in self._data().values()}
        if len(kinds) > 1:
            names = ", ".join(f"{name} {array.dtype}" for name, array in sorted(self._data().items()))
            raise UserError(
                f"dataset.path: the arrays in {path} have different types ({names}); say which are data and "
                "which are labels, as by dataset.keys={train: x, train_labels: y}."
            )
        of_bytes = kinds == {"uint8"}
        self.scale = scale or (255.0 if of_bytes else 1.0)
        self.levels = 256 if of_bytes and self.scale >= 255 else None
        self.channels_last = channels_last
        super().__init__(
            batch_size,
            binarize,
            dequantize,
            validation_size,
            test_size,
            split_seed,
            num_workers,
            leave_out,
            missing,
        )

    def splits(self) -> Mapping[str, Split]:
        data = self._data()
        only = next(iter(data)) if len(data) == 1 else None
        if only is None and ("train" not in data or data.keys() - set(Splits._fields)):
            names = ", ".join(data) or "none"
            raise UserError(
                f"dataset.path: {self.path} must have one array, or train, validation and test, but has "
                f"{names}; say which is which, as by dataset.keys={{train: {next(iter(data), 'x')}}}."
            )
        owners = {f"{name}_labels": name for name in data} | ({"labels": only} if only else {})
        if unknown := self.arrays.keys() - data.keys() - owners.keys():
            raise UserError(
                f"dataset.path: {self.path} has {', '.join(sorted(unknown))}, but no array whose labels "
                f"these are; there can be {', '.join(owners)}."
            )
        labels = {owner: self.arrays[name] for name, owner in owners.items() if name in self.arrays}
        parts = {name: self._part(name, array, labels.get(name)) for name, array in data.items()}
        return {"train": parts[only]} if only else parts

    def scale_hint(self, low: float, high: float) -> str:
        if low < 0:
            return (
                f"model/likelihood=gaussian dataset.scale={max(-low, high):.3g}"
                if max(-low, high) > 10
                else ""
            )
        whole = next((scale for scale in SCALES if high * self.scale <= scale), high * self.scale)
        return f"dataset.scale={whole:g}, or model/likelihood=gaussian with it"

    def _data(self) -> dict[str, "StoredArray"]:
        return {name: array for name, array in self.arrays.items() if not name.endswith("labels")}

    def _part(self, name: str, array: "StoredArray", labels: "StoredArray | None") -> Split:
        last = self._has_channels_last(array.shape)

        def change(values: Tensor, numbers: Tensor) -> Tensor:
            x = values.float() / self.scale
            return x.unsqueeze(1) if x.dim() == 3 else x.movedim(3, 1) if last else x

        rows = StreamedTensor(array, change, self.num_workers)
        if labels is None:
            return Split(rows)
        if labels.shape != array.shape[:1] or labels.dtype.kind not in "bui":
            raise UserError(
                f"dataset.path: the labels of {name} in {self.path} must be {array.shape[0]} integers, but "
                f"are {labels.dtype} of shape {labels.shape}."
            )
        return Split(rows, labels.read(torch.arange(labels.shape[0])).long())

    def _has_channels_last(self, shape: tuple[int, ...]) -> bool:
        if len(shape) not in (2, 3, 4):
            raise UserError(
                "dataset.path: an array must have the shape (N, D), (N, H, W) or (N, C, H, W), got "
                f"{shape} in {self.path}."
            )
        looks_so = len(shape) == 4 and shape[3] in CHANNELS and shape[1] not in CHANNELS
        if self.channels_last is None and looks_so:
            raise UserError(
                f"dataset.path: images of shape {shape[1:]} seem to have their channels last; pass "
                "dataset.channels_last=true, or false if not."
            )
        if self.channels_last and len(shape) != 4:
            raise UserError(f"dataset.channels_last=true is for images (N, H, W, C), got {shape}.")
        return bool(self.channels_last)


@dataclass(frozen=True)
class StoredArray:
    """An array in a file.

    Args:
        path: The file.
        offset: Where its values begin, in bytes.
        dtype: Their type.
        shape: `(N, *data_shape)`.
    """

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    def read(self, places: Tensor) -> Tensor:
        # Not by a memory map, of which pages beside those that are wanted would stay in memory for a while.
        values = np.empty((len(places), *self.shape[1:]), self.dtype)
        rows = values.reshape(len(places), -1).view(np.uint8)
        try:
            with self.path.open("rb") as file:
                for start, end in _runs(places.numpy()):
                    file.seek(self.offset + int(places[start]) * rows.shape[1])
                    if file.readinto(rows[start:end].data) != rows[start:end].nbytes:
                        raise OSError("shorter than before")
        except OSError as error:
            raise UserError(f"dataset.path: {self.path} cannot be read any more ({error}).") from error
        if self.dtype.itemsize > 1:
            values = values.astype(np.float32 if self.dtype.kind == "f" else np.int64)
        return torch.from_numpy(values)


def _by_part(
    arrays: Mapping[str, StoredArray], keys: Mapping[str, str] | None, path: Path
) -> dict[str, StoredArray]:
    """The arrays of a file by the parts that they are.

    Raises:
        UserError: If a key is none of a part, or names no array of the file.
    """
    if keys is None:
        is_of_keras = "x_train" in arrays and arrays.keys() <= KERAS.keys()
        return {KERAS[name] if is_of_keras else name: array for name, array in arrays.items()}
    for part, name in keys.items():
        if part not in PART_NAMES:
            raise UserError(
                f"dataset.keys: {part} is none of a dataset's arrays{did_you_mean(part, PART_NAMES)}"
            )
        if name not in arrays:
            raise UserError(f"dataset.keys.{part}: {path} has no array {name}{did_you_mean(name, arrays)}")
    return {part: arrays[name] for part, name in keys.items()}


def _runs(places: np.ndarray) -> Iterator[tuple[int, int]]:
    """Where runs of successive places begin and end.

    Example:
        >>> list(_runs(np.array([4, 5, 6, 1])))
        [(0, 3), (3, 4)]
    """
    breaks = (np.flatnonzero(np.diff(places) != 1) + 1).tolist()
    yield from pairwise([0, *breaks, len(places)])


def _arrays(path: Path) -> dict[str, StoredArray]:
    """The arrays of a file by name, of which no values are read."""
    if not path.is_file():
        raise UserError(f"dataset.path: there is no file {path.absolute()}.")
    try:
        if path.suffix == ".npz":
            return _members(path)
        with path.open("rb") as file:
            return {"train": _stored(path, file, str(path))}
    except (ValueError, KeyError, OSError, struct.error, zipfile.BadZipFile) as error:
        if path.suffix in TABLES:
            raise UserError(f"dataset.path: {path} is a table of numbers; use dataset=table.") from error
        raise UserError(f"dataset.path: {path} is no array that numpy has written ({error}).") from error


def _members(path: Path) -> dict[str, StoredArray]:
    arrays = {}
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise UserError(
                    f"dataset.path: {path} is compressed, and cannot be read in parts; write it with "
                    "numpy.savez instead of numpy.savez_compressed."
                )
            file.seek(member.header_offset)
            sizes = struct.unpack("<HH", file.read(LOCAL_HEADER)[-4:])  # of the name and of the extra field
            file.seek(sum(sizes), 1)
            name = member.filename.removesuffix(".npy")
            arrays[name] = _stored(path, file, f"{name} in {path}")
    return arrays


def _stored(path: Path, file: IO[bytes], name: str) -> StoredArray:
    """The array whose header begins where the file stands."""
    version = np.lib.format.read_magic(file)
    shape, in_columns, dtype = READ_HEADER[version](file)
    if dtype.kind not in "buif":
        raise UserError(f"dataset.path: {name} has values of type {dtype}, and must hold numbers.")
    if in_columns and len(shape) > 1:
        raise UserError(
            f"dataset.path: {name} is stored by columns, so that a datum cannot be read at once; write it "
            "again from numpy.ascontiguousarray."
        )
    end = file.tell() + dtype.itemsize * int(np.prod(shape))
    if end > path.stat().st_size:
        raise UserError(f"dataset.path: {name} is truncated: the header promises {end} bytes at least.")
    if not shape or 0 in shape:
        raise UserError(f"dataset.path: {name} is an array without data, of shape {shape}.")
    return StoredArray(path, file.tell(), dtype, shape)
