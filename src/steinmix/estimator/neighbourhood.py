"""Random neighbours of the rows of a batch."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ..numerics.neighbours import nearest_rows
from ..objective import Batch
from ..random import Streams
from ..training import Loader
from .chunks import map_chunks

__all__ = ["NEIGHBOURS", "Neighbourhood"]

NEIGHBOURS = 10
"""Neighbours of a row, of which one is drawn at a time."""


class Neighbourhood:
    """The nearest rows of each row. They are looked for when first asked for, in O(n^2 f) time and O(n f) memory.

    What is found depends on the rows alone, so that a resumed run finds it again.

    Parameters
    ----------
    loader : Loader
        Of two rows or more, which can be taken singly.
    streams : Streams
        Where chance comes from.
    """

    def __init__(self, loader: Loader, streams: Streams) -> None:
        self._loader, self._streams = loader, streams

    @cached_property
    def index(self) -> Tensor:
        """Numbers (n, k) of the nearest rows."""
        rows = map_chunks(lambda x: x, self._loader)
        nearest = nearest_rows(rows, rows, min(NEIGHBOURS, len(rows) - 1), same=True)[1]
        return torch.from_numpy(nearest).to(self._loader.device)

    def draw(self, batch: Batch) -> Tensor:
        """Return one neighbour of each row of the batch, prepared, (*r, b, f)."""
        near = self.index[batch.index]
        place = self._streams.uniform_like(near.float(), "neighbour").argmax(-1, keepdim=True)
        return self._loader.take(near.gather(-1, place).squeeze(-1)).x
