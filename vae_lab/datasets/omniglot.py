"""OMNIGLOT."""

import zipfile
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps

from vae_lab.datasets.base import Split
from vae_lab.datasets.downloaded import Downloaded

SIZE = (28, 28)


class Omniglot(Downloaded):
    """19,280 + 13,180 handwritten characters of 50 alphabets, scaled from 105x105 to 28x28, strokes white.

    The alphabets of the test part are others than those of the training part, as the authors made them:
    numbers on the random split of all characters into 24,345 and 8,070, common for VAEs, are of other data.

    `files` are the two archives, from which the images are read. Labels number the characters of a part.

    References:
        Human-level concept learning through probabilistic program induction (Lake et al., 2015).
    """

    source = torchvision.datasets.Omniglot

    def fetch(self, folder: Path) -> None:
        for background in (True, False):
            self.source(str(folder), background, download=True)

    def read(self, paths: list[Path]) -> tuple[Split, Split]:
        train, test = map(_part, paths)
        return train, test


def _part(path: Path) -> Split:
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        images = []
        for name in names:
            with archive.open(name) as file, Image.open(file, formats=["PNG"]) as image:
                white = ImageOps.invert(image.convert("L"))
                images.append(np.asarray(white.resize(SIZE, Image.Resampling.BOX)))
    characters = [name.rpartition("/")[0] for name in names]
    numbers = {character: index for index, character in enumerate(sorted(set(characters)))}
    x = torch.from_numpy(np.stack(images)).float().div(255).unsqueeze(1)
    return Split(x, torch.tensor([numbers[character] for character in characters]))
