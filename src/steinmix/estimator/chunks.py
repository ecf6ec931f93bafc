"""Rows read or decoded in padded chunks of one size, and modules looked at in the middle of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..numerics.precision import undisturbed
from ..training import Loader
from ..training.loader import CHUNK_ROWS

__all__ = ["evaluating", "in_chunks", "map_chunks", "reading"]


def map_chunks(function: Callable[[Tensor], Tensor], loader: Loader, index: Tensor | None = None) -> np.ndarray:
    """Apply `function` to padded chunks of all rows (or of the rows `index`), without gradients, in row order.

    Parameters
    ----------
    function : callable
        Prepared rows (b, f) -> Tensor (b, ...).
    loader : Loader
        Gives the rows.
    index : Tensor of int, optional
        Which rows; all unless given.
    """
    n_rows, done = loader.n_rows if index is None else len(index), 0
    results = np.empty(0)
    with reading(loader.device):
        for chunk in loader.chunks(index):
            part = _padded(function, chunk.x)
            if not done:
                results = np.empty((n_rows, *part.shape[1:]), part.dtype)
            results[done : done + len(part)] = part
            done += len(part)
    return results


def in_chunks(function: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    """Apply `function` to padded chunks of rows (n, d) that are at hand, as `map_chunks` does to those of a loader."""
    with reading(x.device):
        return np.concatenate([_padded(function, part) for part in x.split(CHUNK_ROWS)])


def _padded(function: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    """Apply `function` to rows (b, d) filled up to a whole chunk, so that no row's bits depend on how many come."""
    x, rows = torch.cat([x, x[:1].expand(CHUNK_ROWS - len(x), -1)]) if len(x) < CHUNK_ROWS else x, len(x)
    return function(x)[:rows].cpu().numpy()


@contextmanager
def reading(device: torch.device) -> Iterator[None]:
    """Ask a model on `device` something: without gradients, and in its own precision whatever the caller's is."""
    with torch.inference_mode(), undisturbed(device):
        yield


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Look at a module in the middle of training as it will be used: with the running moments of batch norms."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
