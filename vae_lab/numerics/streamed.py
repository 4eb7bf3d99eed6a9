"""Data on disk, read as they are asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from vae_lab.noise import random_subset

Change = Callable[[Tensor, Tensor], Tensor]
SAMPLE = 1000  # data on disk that stand for all of them where all would have to be read


class Source(Protocol):
    """Files that hold `N` data, at least one, read by several threads at once."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, *data_shape)`."""

    def read(self, places: Tensor) -> Tensor:
        """The values stored at some places, `(B, *data_shape)`.

        Raises:
            UserError: If they cannot be read.
        """


class StreamedTensor:
    """Data of which no more are in memory than are being used.

    It stands where a tensor of all data would: it has a length, a shape and a device, and a slice of it, or
    some of its numbers, are a tensor.

    Workers are threads: what decodes images and copies arrays leaves the interpreter to others meanwhile, and
    nothing has to be sent from one process to another.

    Args:
        source: The files.
        change: Makes data `(B, *data_shape)` of what was read and of its numbers `(B,)`; None if the source
            gives them as they are.
        num_workers: Threads that read ahead of `batches`, at least 0; with 0 the caller reads.
    """

    def __init__(self, source: Source, change: Change | None = None, num_workers: int = 0) -> None:
        self.source = source
        self.places = torch.arange(source.shape[0])  # of each datum in the source
        self.change: Change = change or (lambda values, numbers: values)
        self.num_workers = num_workers
        self.device = torch.device("cpu")
        self.data_shape: Sequence[int] = self[:1].shape[1:]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> torch.Size:
        """`(N, *data_shape)`."""
        return torch.Size([len(self), *self.data_shape])

    def __getitem__(self, numbers: Tensor | slice) -> Tensor:
        """Reads some of the data, those with these numbers from 0."""
        if isinstance(numbers, slice):
            numbers = torch.arange(*numbers.indices(len(self)))
        if len(numbers) == 0:
            return torch.empty(0, *self.data_shape, device=self.device)
        numbers = numbers.cpu()
        return self.change(self.source.read(self.places[numbers]), numbers)

    def select(self, numbers: Tensor) -> "StreamedTensor":
        """Some of the data, which then have new numbers; reads nothing."""
        change = self.change
        return self._with(lambda values, new: change(values, numbers[new]), self.places[numbers])

    def map(self, change: Change) -> "StreamedTensor":
        """The same data, changed by a function of values and numbers whenever they are read."""
        before = self.change
        return self._with(lambda values, numbers: change(before(values, numbers), numbers), self.places)

    def to(self, like: Tensor | torch.device) -> "StreamedTensor":
        """The same data, which go to a device, or to a tensor's device and type, when they are read."""
        moved = self.map(lambda x, numbers: x.to(like))
        moved.device = like.device if isinstance(like, Tensor) else like
        return moved

    def batches(self, numbers: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """The data of one batch after another and their numbers, from these, read ahead by workers.

        Raises:
            UserError: If a file cannot be read.
        """
        numbers = iter(numbers)
        if self.num_workers == 0:
            yield from ((self[of_batch], of_batch.to(self.device)) for of_batch in numbers)
            return
        pool = ThreadPoolExecutor(self.num_workers)
        try:
            waiting: deque[tuple[Future[Tensor], Tensor]] = deque()
            while True:
                for of_batch in islice(numbers, self.num_workers + 1 - len(waiting)):
                    waiting.append((pool.submit(self.__getitem__, of_batch), of_batch))
                if not waiting:
                    return
                x, of_batch = waiting.popleft()
                yield x.result(), of_batch.to(self.device)
        finally:
            pool.shutdown(cancel_futures=True)

    def _with(self, change: Change, places: Tensor) -> "StreamedTensor":
        other = StreamedTensor.__new__(StreamedTensor)
        other.__dict__ |= self.__dict__ | {"change": change, "places": places}
        return other


def subsample(x: Tensor | StreamedTensor) -> Tensor:
    """The data, or a random sample where they are on disk."""
    if isinstance(x, Tensor):
        return x
    return x[random_subset(len(x), SAMPLE, seed=0, purpose="sample")]


def in_memory(x: Tensor | StreamedTensor) -> Tensor:
    """The data, all of them in memory."""
    return x if isinstance(x, Tensor) else x[:]


def in_batches(x: Tensor | StreamedTensor, numbers: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """The data of one batch after another and their numbers, from these."""
    if isinstance(x, StreamedTensor):
        return x.batches(numbers)
    return ((x.index_select(0, of_batch), of_batch) for of_batch in numbers)
