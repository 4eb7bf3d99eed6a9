"""The base of datasets: three parts, and the batches made of them."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vae_lab.datasets.batches import EvaluationBatches, Redraw, TrainingBatches
from vae_lab.datasets.missing import at_random
from vae_lab.noise import NoiseSource, NoiseSpec, permutation, random_subset
from vae_lab.numerics.streamed import StreamedTensor, in_memory

Binarize = Literal["none", "dynamic", "fixed", "threshold"]
EVALUATION_BATCH = 1000  # data, if they are small
EVALUATION_NUMBERS = 2**24  # pixels in a batch, at most
SMALLEST = 2.0**-24  # distance from 1 that single precision has


class Split(NamedTuple):
    """One part of a dataset.

    Args:
        x: Data `(N, *data_shape)`, in memory or on disk.
        labels: `(N,)`, where there are any.
    """

    x: Tensor | StreamedTensor
    labels: Tensor | None = None

    def take(self, indices: Tensor) -> "Split":
        """The part of the data numbered by `indices`."""
        x = self.x.select(indices) if isinstance(self.x, StreamedTensor) else self.x[indices]
        return Split(x, None if self.labels is None else self.labels[indices])

    def map(self, change: Callable[[Tensor, Tensor], Tensor]) -> "Split":
        """The data changed by a function of values and indices: now, or when they are read from disk."""
        x = self.x
        return Split(
            x.map(change) if isinstance(x, StreamedTensor) else change(x, torch.arange(len(x))), self.labels
        )


class Splits(NamedTuple):
    """The three parts of a dataset; models are selected on `validation` and never see `test`."""

    train: Split
    validation: Split
    test: Split


class SplitDataset:
    """A dataset in three parts, each in memory or read from disk as it is needed.

    The training batches are a function of (seed, step) alone, so that a resumed run repeats the
    uninterrupted one. Validation and test data are binarised once, with noise keyed by datum and
    `split_seed`: every run of every seed is measured on the same data. Dequantisation goes likewise.

    Args:
        batch_size: Global batch size `B`, shared among the processes.
        binarize: `dynamic` draws x ~ Bernoulli(grey) anew at every training step, `fixed` draws it once and
            for all runs, `threshold` rounds at 0.5, `none` leaves the values as they are.
        dequantize: Whether uniform noise fills the steps between grey levels, anew at every training step:
            grey level k of L becomes (k + u) / L. The log-density of such data bounds the log-probability of
            the grey levels from below, up to D log L.
        split_seed: Seed of whatever is random in the split and the binarisation of held-out data.
        leave_out: Classes that no part has, for the detection of what is new; those of the test part are
            kept as `left_out`.
        missing: Share of the training and validation pixels that are missing completely at random, always
            the same ones, keyed by datum and `split_seed`; they are NaN. The test part is complete.

    Attributes:
        figure_side: Images along each side of a figure of a two-dimensional latent space.
        notes: Caveats on the data.
        incomplete: Whether pixels are missing, as far as is known.
        sees_parts: Whether a training step sees some rows of a datum.

    Raises:
        ValueError: If `missing` is not a share below 1; if a class to be left out is none of the data's, or
            these have no labels; if `batch_size` is below 1 or, once the data are there, above the training
            part's size; if data are to be dequantised that are binarised, or have no grey levels.
    """

    levels: int | None = None  # grey levels of the images
    sees_parts: bool = False
    figure_side: int = 20
    notes: Sequence[str] = ()
    scale: float = 255.0  # by which grey levels are divided

    def __init__(
        self,
        batch_size: int = 100,
        binarize: Binarize = "none",
        split_seed: int = 0,
        dequantize: bool = False,
        leave_out: Sequence[int] = (),
        missing: float = 0.0,
    ) -> None:
        if not 0 <= missing < 1:
            raise ValueError(f"missing must be a share of at least 0 and below 1, got {missing}.")
        if dequantize and (binarize != "none" or self.levels is None):
            raise ValueError(
                "dequantize needs the grey levels of images, with binarize=none, got dequantize=true."
            )
        self.dequantize = dequantize
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self.batch_size = batch_size
        self.binarize = binarize
        self.split_seed = split_seed
        self.leave_out = list(leave_out)
        self.left_out: Split | None = None
        self.missing = missing
        self.incomplete = missing > 0
        self.seed = 0  # the run's, which orders the training data and binarises them
        self.test_curve = False  # whether the test part is followed along training too
        self.updates_per_batch = 1  # optimizer steps with one batch
        self.train_curve = 0  # how many training data are followed with the weights of the moment
        self.parts: Splits | None = None

    def load(self) -> Splits:
        """Reads the three parts, or opens them, values as floats, before any binarisation."""
        raise NotImplementedError

    def setup(self) -> None:
        """Loads and binarises the parts; a second call does nothing."""
        if self.parts is not None:
            return
        parts = self.load()
        if self.leave_out:
            self._check_left_out(parts)
            unseen = self._of_classes(parts.test, left_out=True)
            self.left_out = self.measured(unseen, "left out")
            parts = Splits(*(self._of_classes(part, left_out=False) for part in parts))
        if self.batch_size > len(parts.train.x):
            raise ValueError(
                f"batch_size must be at most {len(parts.train.x)}, the size of the training part, "
                f"got {self.batch_size}."
            )
        train, validation = self._hidden(parts.train, "train"), self._hidden(parts.validation, "validation")
        self.parts = Splits(
            train if self.redraw else self.measured(train, "train"),
            self.measured(validation, "validation"),
            self.measured(parts.test, "test"),
        )

    def _check_left_out(self, parts: Splits) -> None:
        """Raises `ValueError` if the data have not the classes, or no others to train on."""
        if any(part.labels is None for part in parts):
            raise ValueError("leave_out needs labels, which these data do not have.")
        known = set[int]().union(*(part.labels.tolist() for part in parts if part.labels is not None))
        if unknown := sorted(set(self.leave_out) - known):
            raise ValueError(
                f"leave_out must be among the classes of the data, {sorted(known)}, got {unknown}."
            )
        if len(self._of_classes(parts.train, left_out=False).x) == 0:
            raise ValueError(f"leave_out leaves no class of {sorted(known)}.")

    def _hidden(self, part: Split, name: str) -> Split:
        """A part with NaN for the pixels that are missing."""
        if not self.missing or len(part.x) == 0:
            return part
        source = NoiseSource(self.split_seed)

        def hide(x: Tensor, indices: Tensor) -> Tensor:
            mask = at_random(self.missing, x.shape[1:], source, indices, f"missing {name}")
            return x.masked_fill(mask, math.nan)

        return part.map(hide)

    def _of_classes(self, part: Split, left_out: bool) -> Split:
        """The data of a part that are in the classes to be left out, or those that are not."""
        assert part.labels is not None
        chosen = torch.isin(part.labels, torch.tensor(self.leave_out)) == left_out
        return part.take(chosen.nonzero().flatten())

    @property
    def data(self) -> Splits:
        """The three parts, loaded at the first call."""
        self.setup()
        assert self.parts is not None
        return self.parts

    @property
    def fixed_training_data(self) -> Tensor:
        """The training data for a model that looks at the same ones again and again: drawn once."""
        return in_memory(self.measured_part("train").x)

    def measured_part(self, name: str) -> Split:
        """A part as a model is measured on it, also the training part, whose pixels are drawn once then."""
        part: Split = getattr(self.data, name)
        return self.measured(part, name) if name == "train" and self.redraw else part

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum: `(C, H, W)` of an image, `(D,)` of a vector."""
        return tuple(self.data.train.x.shape[1:])

    def training_batches(
        self, num_steps: int, first_step: int = 0, *, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> TrainingBatches:
        """The training batches of a run for one of its processes, see `TrainingBatches`."""
        return TrainingBatches(
            self.data.train.x.to(device),
            batch_size=self.batch_size,
            num_steps=num_steps,
            first_step=first_step,
            seed=self.seed,
            redraw=self.redraw,
            updates_per_batch=self.updates_per_batch,
            rank=rank,
            world_size=world_size,
        )

    def evaluation_batches(
        self, split: Split, *, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> EvaluationBatches:
        """Every datum of a part once, a process's share of them."""
        size = max(1, min(EVALUATION_BATCH, EVALUATION_NUMBERS // math.prod(self.shape)))
        return EvaluationBatches(split.x.to(device), size, rank, world_size)

    def scale_hint(self, low: float, high: float) -> str:
        """The override by which data of this range would be scaled to [0, 1]; empty if there is none."""
        return ""

    @property
    def curves(self) -> dict[str, Split]:
        """The parts that are evaluated along training, by the name of their metrics."""
        parts = {"validation": self.data.validation}
        if self.test_curve:
            parts["test_curve"] = self.data.test
        if self.train_curve:
            parts["train_curve"] = self._followed
        return {name: part for name, part in parts.items() if len(part.x)}

    @cached_property
    def _followed(self) -> Split:
        """A random part of the training data, which are not in any order that could be relied on."""
        chosen = random_subset(
            len(self.data.train.x), self.train_curve, seed=self.split_seed, purpose="train curve"
        )
        return self.measured(self.data.train.take(chosen), "train curve")

    @property
    def redraw(self) -> Redraw | None:
        """The function that draws training data anew at every step, or None."""
        return self._redraw if self.binarize == "dynamic" or self.dequantize else None

    def _redraw(self, x: Tensor, uniform: Tensor) -> Tensor:
        if self.dequantize:
            assert self.levels is not None
            x = (x * self.scale + uniform) / self.levels
            return x.clamp(SMALLEST, 1 - SMALLEST)  # a density on (0, 1) may be infinite at the ends
        return self._binary(x, uniform < x)

    def _binary(self, x: Tensor, is_one: Tensor) -> Tensor:
        """One or zero, and NaN where the data have it."""
        return torch.where(x.isnan(), x, is_one.to(x.dtype))

    def measured(self, split: Split, purpose: str) -> Split:
        """Data as a model is measured on them: drawn once, or thresholded."""
        if self.binarize == "threshold":
            return split.map(lambda x, indices: self._binary(x, x > 0.5))
        if not (self.redraw or self.binarize == "fixed") or len(split.x) == 0:
            return split
        source = NoiseSource(self.split_seed)

        def draw(x: Tensor, indices: Tensor) -> Tensor:
            spec = {"pixels": NoiseSpec("uniform", 1, tuple(x.shape[1:]))}
            noise = source.evaluation(spec, purpose=f"binarize {purpose}", indices=indices)
            return self._redraw(x, noise["pixels"][0])

        return split.map(draw)


def split_off(split: Split, size: int, seed: int, name: str = "validation_size") -> tuple[Split, Split]:
    """A random part of the given size and the rest, as `(rest, part)`.

    Raises:
        ValueError: If `size` is negative or leaves nothing.
    """
    if not 0 <= size < len(split.x):
        raise ValueError(f"{name} must be at least 0 and below {len(split.x)}, got {size}.")
    order = permutation(len(split.x), seed=seed, purpose=name, epoch=0)
    return split.take(order[size:].sort().values), split.take(order[:size].sort().values)
