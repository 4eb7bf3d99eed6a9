"""Data that are given to a trained model: of its own dataset, of another, or a user's files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import OmegaConf
from torch import Tensor

from vae_lab.config.instantiate import instantiate
from vae_lab.config.options import option_file, options_of
from vae_lab.datasets.array import Array
from vae_lab.datasets.base import Split, SplitDataset, Splits
from vae_lab.datasets.image_folder import ImageFiles, ImageFolder, readable_images
from vae_lab.errors import UserError, did_you_mean
from vae_lab.files.writing import IMAGES, as_text, image_files
from vae_lab.models.likelihoods.support import extremes
from vae_lab.numerics.streamed import StreamedTensor, subsample

UNPROCESSED = {"binarize": "none", "dequantize": False}
DATASETS = options_of("dataset")
ARRAYS = (".npy", ".npz")


class Given(NamedTuple):
    """Data that are given to a trained model, as it is measured on them.

    Args:
        split: The data, and labels where there are any.
        name: What they are called.
        names: The files, if each datum is one.
        notes: Caveats.
    """

    split: Split
    name: str
    names: list[str] | None = None
    notes: list[str] = []  # noqa: RUF012 - never changed


def given(key: str, name: str, own: SplitDataset, resize: bool = False, gaps: bool = False) -> Given:
    """Data in the shape and with the values that a model was trained on.

    Args:
        key: The argument that names them, for messages.
        name: A part of the run's own dataset, `train`, `validation`, `test` or `left_out`; an option of
            `dataset`, whose test part it is; a `.npy` or `.npz` file; an image, or a folder of images.
        own: The run's dataset, whose binarisation the data get.
        resize: Whether images of another size or mode are scaled, cropped and converted.
        gaps: Whether values may be missing, as NaN.

    Raises:
        UserError: If there are no such data, they cannot be read, or have another shape or other values.
    """
    if name in Splits._fields:
        part = own.measured_part(name)
        if len(part.x) == 0:
            raise UserError(f"{key}={name} has no data.")
        return Given(part, name)
    if name == "left_out":
        return Given(_left_out(key, own), name)
    path = Path(name).expanduser()
    if name in DATASETS:
        result = Given(_of_dataset(key, name), name)
    elif path.is_dir() or path.suffix.lower() in IMAGES:
        result = _images(key, path, own, resize)
    elif path.suffix in ARRAYS:
        result = Given(_array(key, path, own), path.name)
    else:
        raise UserError(
            f"{key}={name} is neither a file, a folder, a part of the run's data (train, validation, test) "
            f"nor a dataset{did_you_mean(name, DATASETS)}"
        )
    _check(f"{key}={name}", result.split.x, own, gaps)
    purpose = "test" if name in DATASETS else name
    return result._replace(split=own.measured(result.split, purpose))


def _check(given: str, x: Tensor | StreamedTensor, own: SplitDataset, gaps: bool) -> None:
    if len(x) == 0:
        raise UserError(f"{given} has no data.")
    if (shape := tuple(x.shape[1:])) != own.shape:
        raise UserError(
            f"{given} has data of shape {shape}, and the model was trained on {own.shape}; give data of that "
            "shape."
        )
    looked_at = subsample(x)
    if not bool((looked_at.isfinite() | (looked_at.isnan() & gaps)).all()):
        raise UserError(f"{given} has values that are infinite or not a number.")
    low, high = extremes(looked_at)
    limits = extremes(subsample(own.data.train.x))
    if limits[0] >= 0 and limits[1] <= 1 and (low < 0 or high > 1):
        raise UserError(
            f"{given} has values from {low:.3g} to {high:.3g}, and the model was trained on values in "
            "[0, 1]; scale them."
        )


def _left_out(key: str, own: SplitDataset) -> Split:
    own.setup()
    if own.left_out is None:
        raise UserError(
            f"{key}=left_out is for a run that was trained without some classes (dataset.leave_out), and "
            "this run had all."
        )
    return own.left_out


def _of_dataset(key: str, option: str) -> Split:
    """The test part of another dataset, before any binarisation."""
    cfg: Any = OmegaConf.load(option_file("dataset", option))
    if OmegaConf.is_missing(cfg, "path"):
        raise UserError(f"{key}={option} has no path; give the file or the folder itself.")
    cfg.update({name: value for name, value in UNPROCESSED.items() if name in cfg})
    dataset: SplitDataset = instantiate(cfg, f"{key}={option}", SplitDataset)
    try:
        return dataset.data.test
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{key}={option}: {error}") from error


def _array(key: str, path: Path, own: SplitDataset) -> Split:
    """The test part of a file that has one, else all of its only array."""
    if not path.is_file():
        raise UserError(f"{key}: there is no file {path.absolute()}.")
    try:
        dataset = Array(str(path), scale=own.scale if isinstance(own, Array) else None)
        dataset.channels_last = _has_channels_last(dataset, own)
        parts = dataset.splits()
    except UserError as error:
        raise UserError(f"{key}: {str(error).removeprefix('dataset.path: ')}") from error
    return parts["test" if "test" in parts else "train"]


def _has_channels_last(dataset: Array, own: SplitDataset) -> bool:
    """Whether the arrays are images of the shape that the model was trained on, but for that."""
    shapes = {array.shape[1:] for name, array in dataset.arrays.items() if not name.endswith("labels")}
    return len(own.shape) == 3 and own.shape not in shapes and (*own.shape[1:], own.shape[0]) in shapes


def _images(key: str, path: Path, own: SplitDataset, resize: bool) -> Given:
    if len(own.shape) != 3 or own.shape[0] not in (1, 3):
        raise UserError(f"{key}={path} names images, and the model was trained on data of shape {own.shape}.")
    if not path.exists():
        raise UserError(f"{key}: there is no file {path.absolute()}.")
    folder, names = (path, image_files(path)) if path.is_dir() else (path.parent, [path.name])
    if not names:
        raise UserError(
            f"{key}: there are no images in {path.absolute()} (files that end in {', '.join(IMAGES)})."
        )
    channels, *size = own.shape
    bits, scale = (own.bits, own.scale) if isinstance(own, ImageFolder) else (8, 255.0)
    files = ImageFiles(folder, names, (size[0], size[1]), channels, bits)
    good, spoilt = readable_images(files, exact=not (resize or isinstance(own, ImageFolder)))
    if path.is_file() and spoilt:
        raise UserError(f"{key}: {spoilt[0]}.")
    if not good:
        raise UserError(f"{key}: no image in {path} can be used: {spoilt[0]}.")
    kept = [names[index] for index in good]
    files = ImageFiles(folder, kept, (size[0], size[1]), channels, bits)
    rows = StreamedTensor(files, lambda x, numbers: x.float() / scale, num_workers=2)
    shown = [as_text(name) for name in kept]
    return Given(Split(rows, _labels(kept)), path.name, shown, _of_spoilt(key, spoilt, len(names)))


def _labels(names: Sequence[str]) -> Tensor | None:
    """The folders within the folder as classes, where every image is in one."""
    folders = [name.rpartition("/")[0] for name in names]
    classes = sorted(set(folders))
    if "" in classes or len(classes) < 2:
        return None
    return torch.tensor([classes.index(folder) for folder in folders])


def _of_spoilt(key: str, spoilt: Sequence[str], total: int) -> list[str]:
    if not spoilt:
        return []
    named = "; ".join(spoilt[:5]) + (f"; and {len(spoilt) - 5} more" if len(spoilt) > 5 else "")
    return [f"{key}: {len(spoilt)} of {total} images are left out: {named}"]
