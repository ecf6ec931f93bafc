"""Nearest rows: a tree for few columns, blocks of a matrix product for many."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["in_unit_box", "nearest_rows"]

TREE_FEATURES = 15  # a KD-tree beats brute force up to about so many columns
BLOCK = 2**25  # entries of the largest distance block: 128 MiB in float32


def nearest_rows(x: np.ndarray, queries: np.ndarray, k: int, same: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest rows of `x` for each query.

    Parameters
    ----------
    x : ndarray (n, f)
    queries : ndarray (b, f)
    k : int
        At most n, or n - 1 with `same`.
    same : bool
        The queries are the rows of `x`, and none is its own neighbour.

    Returns
    -------
    distances : ndarray (b, k)
        Nearest first, in float64.
    index : ndarray (b, k)
        Row numbers. In many columns neighbours are searched in float32; near ties may come out either way.
    """
    found = _tree_search if x.shape[1] <= TREE_FEATURES else _block_search
    index = found(x, queries, min(k + same, len(x)))
    if same:
        itself = index == np.arange(len(x))[:, None]
        itself[~itself.any(axis=1), -1] = True  # more duplicates than neighbours: any may go
        index = index[~itself].reshape(len(x), k)
    step = max(1, BLOCK // (8 * k * x.shape[1]))
    spans = [slice(i, i + step) for i in range(0, len(queries), step)]
    # exact distances of the few: those of the expanded square are off by the rounding of |x|^2
    parts = [np.linalg.norm(x[index[s]].astype(float) - queries[s, None], axis=2) for s in spans]
    distances = np.concatenate(parts)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(distances, order, 1), np.take_along_axis(index, order, 1)


def _tree_search(x: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    from scipy.spatial import cKDTree

    return cKDTree(x).query(queries, k=np.arange(1, k + 1), workers=torch.get_num_threads())[1]


def _block_search(x: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Brute force by blocks of a float32 product."""
    points, asked = (torch.from_numpy(a) for a in in_unit_box(x, queries))
    half_norm = points.square().sum(1) / 2
    step = max(1, BLOCK // len(points))
    blocks = [torch.topk(half_norm - block @ points.T, k, largest=False).indices for block in asked.split(step)]
    return torch.cat(blocks).numpy()


def in_unit_box(x: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return `x` and other rows (b, f) in float32, by one shift and one factor: those of `x` lie in [-1, 1].

    Large numbers, and small differences of large numbers, survive so.
    """
    centre = x.mean(axis=0, dtype=float)
    size = float(np.abs(x - centre).max()) or 1.0
    return [((rows - centre) / size).astype(np.float32) for rows in (x, *others)]
