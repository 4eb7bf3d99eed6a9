"""A user's own images."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from vae_lab.datasets.base import Binarize, Split
from vae_lab.datasets.own import OwnDataset
from vae_lab.datasets.part_folders import part_folders, part_of
from vae_lab.errors import UserError
from vae_lab.files.writing import FORMATS, IMAGES, image_files
from vae_lab.numerics.streamed import StreamedTensor

MODES = {1: "L", 3: "RGB"}
AS_THEY_ARE = {1: ("1", "L"), 3: ("RGB",)}  # modes whose values change by no conversion
DEEP = ("I", "F")  # how modes of more grey levels begin
UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class ImageFolder(OwnDataset):
    """The images in a folder and those below it, scaled and cropped to one size, grey levels in [0, 1].

    They are turned upright, and what is transparent in them is white.

    They are read from disk when they are needed and never held whole in memory. A folder with `train` in it
    has its parts in `train`, `validation` and `test`, or what these are usually called, as `Training` or
    `val`; what is missing is split off `train` at random. The folders within a part are classes, whose
    numbers in alphabetical order are the labels. Results of this software and of W&B in the folder are no
    data.

    Args:
        path: The folder.
        size: Height and width, or both in one number: each image is scaled to fill it, and what stands over
            at two sides is cut off.
        channels: 3 for colour, 1 for grey.
        bits: 8, or 16 for grey images with so many bits, which are not rounded then.
        pages: Of files with several, as a TIFF may have: `first`, or `all`, each its own datum; None for an
            error.
        batch_size: Global batch size.
        binarize: As for `SplitDataset`.
        dequantize: As for `SplitDataset`.
        validation_size: Images held out for model selection: below 1 a share of them, else their number.
        test_size: Images held out for the test, likewise.
        split_seed: Seed of the split.
        num_workers: Threads that read ahead, at least 0.
        leave_out: As for `SplitDataset`.
        missing: As for `SplitDataset`.

    Raises:
        UserError: If there are no images, if folders look like parts but not clearly so, or, later, if an
            image cannot be read.
        ValueError: If an argument is out of its range.
    """

    levels = 256

    def __init__(
        self,
        path: str,
        size: int | Sequence[int] = 64,
        channels: Literal[1, 3] = 3,
        batch_size: int = 100,
        binarize: Binarize = "none",
        dequantize: bool = False,
        validation_size: float = 0.1,
        test_size: float = 0.1,
        split_seed: int = 0,
        num_workers: int = 2,
        leave_out: Sequence[int] = (),
        missing: float = 0.0,
        bits: Literal[8, 16] = 8,
        pages: Literal["first", "all"] | None = None,
    ) -> None:
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
        height_width = (size, size) if isinstance(size, int) else tuple(size)
        if len(height_width) != 2 or min(height_width) < 1:
            raise ValueError(f"size must be a height and a width of at least 1, got {size}.")
        self.path = Path(path).expanduser()
        self.size = height_width
        self.channels = channels
        if bits == 16 and channels != 1:
            raise ValueError("bits=16 is for grey images, channels=1, got channels=3.")
        self.bits = bits
        self.pages = pages
        self.levels = 2**bits
        self.scale = float(self.levels - 1)

    def splits(self) -> Mapping[str, Split]:
        if not self.path.is_dir():
            raise UserError(f"dataset.path: there is no folder {self.path.absolute()}.")
        images = image_files(self.path)
        folders = part_folders(images, self.path)
        self._check_empty(folders)
        self.notes = _notes(images, folders)
        names = {part: _within(images, folder) for part, folder in folders.items()} or {"train": images}
        classes = sorted({_class(image) for of_part in names.values() for image in of_part} - {""})
        return {part: self._part(self.path / folders.get(part, ""), names[part], classes) for part in names}

    def _check_empty(self, folders: Mapping[str, str]) -> None:
        """Refuses a folder of a part without images, as an interrupted copy leaves it."""
        for path in self.path.iterdir():
            if path.is_dir() and part_of(path.name) and path.name not in folders.values() and folders:
                self._part(path, [], [])

    def _part(self, folder: Path, names: Sequence[str], classes: Sequence[str]) -> Split:
        if not names:
            raise UserError(
                f"dataset.path: there are no images in {folder.absolute()} (files that end in "
                f"{', '.join(IMAGES)})."
            )
        pages = _pages(folder, names) if self.pages == "all" else [0] * len(names)
        if self.pages == "all":
            names = [name for name, count in zip(names, pages, strict=True) for _ in range(count)]
            pages = [page for count in pages for page in range(count)]
        files = ImageFiles(folder, names, self.size, self.channels, self.bits, pages, self.pages is not None)
        rows = StreamedTensor(files, lambda x, numbers: x.float() / self.scale, self.num_workers)
        numbers = {name: index for index, name in enumerate(classes)}
        labels = [numbers.get(_class(name), -1) for name in names]
        return Split(rows, None if -1 in labels else torch.tensor(labels))


def _within(images: Sequence[str], folder: str) -> list[str]:
    return [image.removeprefix(f"{folder}/") for image in images if image.startswith(f"{folder}/")]


def _notes(images: Sequence[str], folders: Mapping[str, str]) -> list[str]:
    """Notes on folders taken for parts whose names are others, and on images that lie beside the parts."""
    notes = []
    if any(part != folder for part, folder in folders.items()):
        taken = ", ".join(f"{folder} is {part}" for part, folder in folders.items())
        notes.append(f"dataset.path: by their names, {taken}")
    if folders and (loose := [image for image in images if "/" not in image]):
        notes.append(f"dataset.path: images beside {folders['train']} are left out: {len(loose)}")
    return notes


def _class(image: str) -> str:
    """The folder in which an image lies within its part; none for those at the top."""
    folder, below, _ = image.partition("/")
    return folder if below else ""


class ImageFiles:
    """Images in a folder, as bytes `(N, C, H, W)`.

    Args:
        folder: The folder.
        names: Their paths inside it.
        size: Height and width to which they are scaled and cropped.
        channels: 1 or 3.
        bits: Of a grey level, 8 or 16.
        pages: The page of each; the first unless given.
        are_chosen: Whether pages are chosen, so that others may be left alone.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        size: tuple[int, int],
        channels: int,
        bits: int = 8,
        pages: Sequence[int] | None = None,
        are_chosen: bool = False,
    ) -> None:
        self.folder = folder
        self.bits = bits
        self.pages = np.array(pages or [0] * len(names), dtype=np.int32)
        self.are_chosen = are_chosen
        self.names = np.array([os.fsencode(name) for name in names])  # less than a list
        self.shape = (len(names), channels, *size)

    def read(self, places: Tensor) -> Tensor:
        images = [
            self._image(self.folder / os.fsdecode(self.names[place]), int(self.pages[place]))
            for place in places.tolist()
        ]
        kind = np.uint8 if self.bits == 8 else np.int32
        return torch.from_numpy(np.array(images, dtype=kind)).reshape(-1, *self.shape[1:])

    def trouble(self, place: int, exact: bool) -> str | None:
        """Why an image cannot be used, or None.

        Args:
            place: Which.
            exact: Whether it must have the size and the mode already.
        """
        name = os.fsdecode(self.names[place])
        _, channels, height, width = self.shape
        try:
            with Image.open(self.folder / name, formats=FORMATS) as image:
                image.load()
                if image.mode.startswith(DEEP) and self.bits == 8:
                    return f"{name} has more than 256 grey levels"
                if not self.are_chosen and (count := getattr(image, "n_frames", 1)) > 1:
                    return f"{name} has {count} pages"
                if exact and image.size != (width, height):
                    has = (
                        f"{image.width}x{image.height} pixels, and the model was trained on {width}x{height}"
                    )
                    return f"{name} has {has} (resize=true scales and crops)"
                if exact and image.mode not in AS_THEY_ARE[channels]:
                    wanted = f"and the model was trained on {'colour' if channels == 3 else 'grey'} images"
                    return f"{name} has mode {image.mode}, {wanted} (resize=true converts)"
        except UNREADABLE as error:
            return f"{name} cannot be read as an image ({error})"
        return None

    def _image(self, path: Path, page: int) -> np.ndarray:
        _, channels, height, width = self.shape
        try:
            with Image.open(path, formats=FORMATS) as image:
                self._check_pages(image, path)
                if page:
                    image.seek(page)
                if self.bits == 16:
                    return _deep(image, (width, height))
                if image.mode.startswith(DEEP):
                    raise UserError(
                        f"dataset.path: {path} has more than 256 grey levels; pass dataset.bits=16 "
                        "dataset.channels=1."
                    )
                most = max(height, width)  # it may be turned yet
                image.draft(MODES[channels], (most, most))  # a JPEG is decoded no larger than it must be
                upright = _on_white(ImageOps.exif_transpose(image)).convert(MODES[channels])
        except UNREADABLE as error:
            raise UserError(
                f"dataset.path: {path} cannot be read as an image ({error}); mend it or take it out of the "
                "folder."
            ) from error
        pixels = np.asarray(ImageOps.fit(upright, (width, height)))
        return pixels[np.newaxis] if channels == 1 else pixels.transpose(2, 0, 1)

    def _check_pages(self, image: Image.Image, path: Path) -> None:
        """Raises `UserError` if pages of a file would be left out unasked."""
        if not self.are_chosen and (count := getattr(image, "n_frames", 1)) > 1:
            raise UserError(f"dataset.path: {path} has {count} pages; pass dataset.pages=first, or all.")


def _deep(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The grey levels of an image of 16 bits, `(1, H, W)`; one of 8 bits has 257 for each of its levels.

    Raises:
        OSError: If the image has colours, or levels beyond 16 bits.
    """
    upright = ImageOps.exif_transpose(image)
    if not upright.mode.startswith(("I", "1", "L")) or upright.mode == "LA":
        raise OSError(f"mode {upright.mode} has no grey levels of 16 bits")
    levels = np.asarray(upright.convert("L") if upright.mode in ("1", "L") else upright, dtype=np.float32)
    levels = levels * 257 if upright.mode in ("1", "L") else levels
    if levels.min() < 0 or levels.max() > 65535:
        raise OSError(f"levels from {levels.min():g} to {levels.max():g}, beyond 16 bits")
    pixels = np.asarray(ImageOps.fit(Image.fromarray(levels), size))  # of mode F
    return pixels.round().clip(0, 65535).astype(np.int32)[np.newaxis]


def _pages(folder: Path, names: Sequence[str]) -> list[int]:
    """How many pages each file has; 1 where that cannot be told, which reading it will."""
    return [_num_pages(folder / name) for name in names]


def _num_pages(path: Path) -> int:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return int(getattr(image, "n_frames", 1))
    except UNREADABLE:
        return 1


def readable_images(files: ImageFiles, exact: bool) -> tuple[list[int], list[str]]:
    """Which images can be used, and of the others why not.

    Args:
        files: The images.
        exact: Whether they must have the size and the mode already.
    """
    with ThreadPoolExecutor() as pool:
        troubles = list(pool.map(lambda place: files.trouble(place, exact), range(len(files.names))))
    good = [place for place, trouble in enumerate(troubles) if trouble is None]
    return good, [trouble for trouble in troubles if trouble is not None]


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
