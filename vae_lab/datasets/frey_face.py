"""Frey Face."""

from collections.abc import Mapping

import numpy as np
import torch

from vae_lab.datasets.base import Split, SplitDataset, Splits, split_off
from vae_lab.datasets.files import verified_files


class FreyFace(SplitDataset):
    """1,965 frames of a face of 28x20 pixels, in video order, shuffled here with a fixed seed.

    Args:
        root: The data folder.
        files: Path in `root` and SHA-256 of the array of bytes of shape (1965, 28, 20).
        batch_size: Global batch size.
        dequantize: As for `SplitDataset`.
        scale: Grey levels are divided by this; 256 puts them in [0, 1).
        train_size: Frames to train on, the validation frames included; the rest are the test part.
        validation_size: How many of the training frames are held out for model selection.
        split_seed: Seed of the shuffle.
        missing: As for `SplitDataset`.

    Raises:
        ValueError: If `scale` is not above 0.
    """

    levels = 256
    figure_side = 10  # as in figure 4 of Kingma & Welling (2014)

    def __init__(
        self,
        root: str,
        files: Mapping[str, str],
        batch_size: int = 100,
        dequantize: bool = False,
        scale: float = 256.0,
        train_size: int = 1600,
        validation_size: int = 200,
        split_seed: int = 0,
        missing: float = 0.0,
    ) -> None:
        super().__init__(
            batch_size, binarize="none", split_seed=split_seed, dequantize=dequantize, missing=missing
        )
        if not scale > 0:
            raise ValueError(f"scale must be above 0, got {scale}.")
        self.root = root
        self.files = files
        self.scale = scale
        self.train_size = train_size
        self.validation_size = validation_size

    def load(self) -> Splits:
        (path,) = verified_files(
            self.root,
            self.files,
            download=None,
            how_to_get="docs/datasets.md tells how to make it from the published MATLAB file.",
        )
        frames = torch.from_numpy(np.load(path, allow_pickle=False)).float().div(self.scale).unsqueeze(1)
        test, rest = split_off(Split(frames), self.train_size, self.split_seed, "train_size")
        train, validation = split_off(rest, self.validation_size, self.split_seed)
        return Splits(train, validation, test)
