"""From rows on demand to batches on the device: one index per batch, no Python per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy

import numpy as np
import torch
from torch import Tensor

from .._typing import Source
from ..objective import Batch
from ..random import Streams
from .distinct import find_distinct_rows
from .distributed import Share, share_of, world_size

__all__ = ["CHUNK_ROWS", "Loader", "StackedLoader"]

CHUNK_ROWS = 256
"""Rows of a chunk when data are only read. It is fixed, and whoever reads pads the last chunk to it, so that what a
model says of a row depends on the rows beside it at most in the last bits (where the processor's matrix product rounds
by the place in a block), and not at all on how many there are."""

WINDOW_BATCHES = 32
"""Batches held by the shuffle buffer of a source that is read in blocks."""


class Loader:
    """Batches of a source, in random order for training and in file order for reading.

    Data that fit `resident_bytes` are kept as one tensor in their own type (uint8 images stay uint8 until they are in
    a batch). Larger ones are read: single rows where the source allows it, else blocks through a shuffle buffer, in
    memory that does not grow with the number of rows.

    Parameters
    ----------
    source : Source
        The rows, as `steinmix.as_source` gives them.
    prepare : callable
        Raw rows (b, f) in the source's type -> prepared float rows (b, f).
    batch_size : int
        Rows in a batch, at most.
    device : torch.device
        Where batches are put.
    streams : Streams
        Orders come from its stream "order".
    resident_bytes : int
        Data up to this size are kept whole on the device.
    distinct : bool, default=False
        Batches for training hold each distinct row once, where single rows can be taken. Not in a distributed run.

    Attributes
    ----------
    inspect : callable or None
        ``(rows (b, f), index (b,)) -> None``, called with what is read before it is prepared, to refuse it.
    share : Share or None
        Of the batch that `epoch` gave last; None where there is one process only.
    """

    inspect: Callable[[np.ndarray, np.ndarray], None] | None = None
    share: Share | None = None

    def __init__(
        self,
        source: Source,
        prepare: Callable[[Tensor], Tensor],
        batch_size: int,
        device: torch.device,
        streams: Streams,
        resident_bytes: int = 2**31,
        distinct: bool = False,
    ) -> None:
        self.source, self.prepare, self.batch_size = source, prepare, batch_size
        self.device, self.streams = device, streams
        small = source.n_rows * source.n_features * source.dtype.itemsize <= resident_bytes
        self._resident = self._load() if small and source.random_access else None
        distinct = distinct and source.random_access and world_size() == 1
        self._distinct = find_distinct_rows(source, device) if distinct else None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.source.n_rows

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of an epoch."""
        return -(-self.n_rows // self.batch_size)

    def epoch(self) -> Iterator[Batch]:
        """Yield every row once, in random order; of each batch the share of this process.

        Where rows can be taken singly, batch sizes differ by at most one, so that no short last batch weighs its few
        rows more than the others.
        """
        try:
            yield from self._ordered() if self.source.random_access else self._windowed()
        finally:
            self.share = self.streams.share = None

    def _ordered(self) -> Iterator[Batch]:
        for index in self.orders():
            yield self.batch(index[self._own(len(index))])

    def _own(self, total: int) -> slice:
        """Return which rows of the next batch are this process's, and let the noise of the step be theirs."""
        self.share = share_of(total)
        if self.share is None:
            return slice(None)
        self.streams.share = self.share[:3]
        return slice(self.share.start, self.share.stop)

    def orders(self) -> tuple[Tensor, ...]:
        """Return the row numbers of an epoch's batches, in random order."""
        order = torch.randperm(self.n_rows, generator=self.streams.torch("order", "cpu"))
        return order.tensor_split(self.steps_per_epoch)

    def sibling(self, streams: Streams) -> Loader:
        """Return a loader of the same rows, of which there stays one copy, in an order of its own."""
        other = copy(self)
        other.streams = streams
        return other

    def batch(self, index: Tensor) -> Batch:
        """Return the prepared rows `index` (b,), each distinct one once if that was asked for."""
        if self._distinct is None:
            return self.take(index)
        index = index.to(self.device)
        rows, inverse = self._distinct.of_batch(index)
        return Batch(self.take(rows).x, index, inverse)

    def take(self, index: Tensor) -> Batch:
        """Return the prepared rows `index` (b,)."""
        if self._resident is None:
            return self._batch(self.source.take(index.cpu().numpy()), index)
        index = index.to(self.device)
        return Batch(self.prepare(self._resident.index_select(0, index)), index)

    def chunks(self, index: Tensor | None = None) -> Iterator[Batch]:
        """Yield all rows, or the rows `index` (ascending), in file order, in chunks of at most `CHUNK_ROWS`."""
        if self.source.random_access:
            index = torch.arange(self.n_rows) if index is None else index
            yield from (self.take(part) for part in index.split(CHUNK_ROWS))
            return
        wanted = torch.ones(self.n_rows, dtype=torch.bool)
        if index is not None:
            wanted = torch.zeros_like(wanted).index_fill_(0, index, True)
        for number, rows in self.source.blocks(CHUNK_ROWS):
            kept = wanted[torch.from_numpy(number)].numpy()
            if kept.any():
                yield self._batch(rows[kept], torch.from_numpy(number[kept]))

    def sample_index(self, limit: int) -> Tensor:
        """Return all row numbers if there are at most `limit`, else that many random ones, in ascending order."""
        if self.n_rows <= limit:
            return torch.arange(self.n_rows)
        draw = torch.randperm(self.n_rows, generator=self.streams.torch("sample", "cpu"))[:limit]
        return draw.sort().values

    def _load(self) -> Tensor:
        return torch.from_numpy(self.source.take(np.arange(self.source.n_rows))).to(self.device)

    def _batch(self, rows: np.ndarray, index: Tensor) -> Batch:
        if self.inspect is not None:
            self.inspect(rows, index.numpy())
        return Batch(self.prepare(torch.from_numpy(np.ascontiguousarray(rows)).to(self.device)), index.to(self.device))

    def _windowed(self) -> Iterator[Batch]:
        """Read random blocks into one window of whole batches; each time it is full, shuffle it and hand it out."""
        rng, capacity, filled = self.streams.numpy("order"), WINDOW_BATCHES * self.batch_size, 0
        index = np.empty(capacity, np.int64)
        rows = np.empty((capacity, self.source.n_features), self.source.dtype)
        for numbers, block in self.source.blocks(max(self.batch_size, 1024), rng):
            while len(numbers):
                taken = min(len(numbers), capacity - filled)
                index[filled : filled + taken], rows[filled : filled + taken] = numbers[:taken], block[:taken]
                numbers, block, filled = numbers[taken:], block[taken:], filled + taken
                if filled == capacity:
                    yield from self._shuffled(index, rows, rng)
                    filled = 0
        yield from self._shuffled(index[:filled], rows[:filled], rng)

    def _shuffled(self, index: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> Iterator[Batch]:
        n_batches = -(-len(index) // self.batch_size)
        for part in np.array_split(rng.permutation(len(index)), n_batches) if n_batches else ():
            own = part[self._own(len(part))]
            yield self._batch(rows[own], torch.from_numpy(index[own]))


class StackedLoader(Loader):
    """The batches of several restarts as one: rows (r, b, f), each slice in its own restart's order.

    Parameters
    ----------
    members : sequence of Loader
        Siblings over one source of random access, one for each restart. Those not in `active`, a list of numbers, draw
        no orders.
    """

    def __init__(self, members: Sequence[Loader]) -> None:
        self.__dict__.update(members[0].__dict__)
        self.members, self.active = list(members), list(range(len(members)))

    def epoch(self) -> Iterator[Batch]:
        """Yield every row of every active restart once."""
        for parts in zip(*(self.members[r].orders() for r in self.active)):
            yield self.batch(torch.stack(parts))

    def take(self, index: Tensor) -> Batch:
        """Return the prepared rows `index` (r, b)."""
        batch = super().take(index.flatten())
        return Batch(batch.x.unflatten(0, index.shape), batch.index.view(index.shape))
