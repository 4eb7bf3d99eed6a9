"""Batches cut from the data by their numbers."""

from collections.abc import Callable, Iterator
from functools import lru_cache

import torch
from torch import Tensor

from vae_lab.models.vae import Batch
from vae_lab.noise import NoiseSource, NoiseSpec, permutation
from vae_lab.numerics.streamed import StreamedTensor, in_batches

Redraw = Callable[[Tensor, Tensor], Tensor]


class TrainingBatches:
    """The training batches of a run, a function of (seed, step).

    The data form one endless stream of permutations, of which step t takes positions `[tB, (t + 1)B)`: every
    batch is full, every datum is used equally often, and a batch may hold the end of one epoch and the
    start of the next. Each process takes its slice of the global batch.

    Args:
        x: Data `(N, *data_shape)`, in memory or on disk.
        batch_size: Global batch size `B`, at most `N` and divisible by `world_size`.
        num_steps: Steps of the whole run.
        first_step: Where to begin: the optimizer steps already taken.
        seed: The run's seed.
        redraw: Gives the pixels that a batch has this time, from those stored and uniform noise of their
            shape; None leaves them.
        updates_per_batch: Steps with one batch before the next one comes.
        rank: Which process this is.
        world_size: How many there are.

    Example:
        >>> x = torch.arange(5.0).unsqueeze(1)
        >>> batches = TrainingBatches(x, batch_size=2, num_steps=5, first_step=0, seed=0)
        >>> sorted(torch.cat([batch.x for batch in batches]).flatten().tolist())
        [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]
    """

    def __init__(
        self,
        x: Tensor | StreamedTensor,
        batch_size: int,
        num_steps: int,
        first_step: int,
        seed: int,
        redraw: Redraw | None = None,
        updates_per_batch: int = 1,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.x = x
        self.global_batch_size = batch_size
        self.batch_size = batch_size // world_size
        self.num_steps = num_steps
        self.first_step = first_step
        self.seed = seed
        self.updates_per_batch = updates_per_batch
        self.noise = NoiseSource(seed)
        self.redraw = redraw
        self.rank = rank
        self.world_size = world_size
        self._order = lru_cache(maxsize=2)(self._permutation)

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[Batch]:
        steps = range(self.first_step, self.num_steps)
        batches = in_batches(self.x, (self.indices(step // self.updates_per_batch) for step in steps))
        for step, (x, indices) in zip(steps, batches, strict=True):
            batch = Batch(x, indices)
            yield batch if self.redraw is None else Batch(self.redraw(x, self._uniform(batch, step)), indices)

    def indices(self, batch_index: int) -> Tensor:
        """The numbers of the data in this process's part of a batch."""
        start = batch_index * self.global_batch_size + self.rank * self.batch_size
        epoch, offset = divmod(start, len(self.x))
        indices = self._order(epoch)[offset : offset + self.batch_size]
        missing = self.batch_size - len(indices)
        return torch.cat([indices, self._order(epoch + 1)[:missing]]) if missing else indices

    def state_dict(self) -> dict[str, int]:
        """Nothing: the position is the trainer's global step, from which `first_step` is taken."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore, see `state_dict`."""

    def _permutation(self, epoch: int) -> Tensor:
        order = permutation(len(self.x), seed=self.seed, purpose="order", epoch=epoch)
        return (
            order if isinstance(self.x, StreamedTensor) else order.to(self.x.device)
        )  # files are read from the CPU

    def _uniform(self, batch: Batch, step: int) -> Tensor:
        specs = {"pixels": NoiseSpec("uniform", 1, tuple(batch.x.shape[1:]))}
        drawn = step // self.updates_per_batch
        noise = batch.draw_for_step(self.noise, specs, "binarize", drawn, self.rank, self.world_size)
        return noise["pixels"][0]


class EvaluationBatches:
    """Every datum of a split once, in order, each process taking every `world_size`-th one.

    Args:
        x: Data `(N, *data_shape)`, in memory or on disk.
        batch_size: Data per batch and process.
        rank: Which process this is.
        world_size: How many there are.
    """

    def __init__(
        self, x: Tensor | StreamedTensor, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        indices = torch.arange(rank, len(x), world_size, device=x.device)
        self.x = x
        self.chunks = indices.split(batch_size) if len(indices) else ()

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[Batch]:
        for x, indices in in_batches(self.x, self.chunks):
            yield Batch(x, indices)
