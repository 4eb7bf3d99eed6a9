"""OMNIGLOT."""

from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps

from vae_lab.datasets.base import Split
from vae_lab.datasets.downloaded import Downloaded

SIZE = (28, 28)


class _Verified(torchvision.datasets.Omniglot):
    """The archives were compared with `dataset.files`."""

    def _check_integrity(self) -> bool:
        return True


class Omniglot(Downloaded):
    """19,280 + 13,180 handwritten characters of 50 alphabets, scaled from 105x105 to 28x28, strokes white.

    The alphabets of the test part are others than those of the training part, as the authors made them:
    numbers on the random split of all characters into 24,345 and 8,070, common for VAEs, are lower or higher.

    References:
        Human-level concept learning through probabilistic program induction (Lake et al., 2015).
    """

    source = torchvision.datasets.Omniglot

    def fetch(self, folder: Path) -> None:
        for background in (True, False):
            self.source(str(folder), background, download=True)

    def read(self, paths: list[Path]) -> tuple[Split, Split]:
        return self._part(background=True), self._part(background=False)

    def _part(self, background: bool) -> Split:
        images = _Verified(str(Path(self.root).expanduser()), background, transform=_small)
        pixels, labels = zip(*images, strict=True)
        return Split(torch.from_numpy(np.stack(pixels)).float().div(255).unsqueeze(1), torch.tensor(labels))


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(ImageOps.invert(image).resize(SIZE, Image.Resampling.BOX))
