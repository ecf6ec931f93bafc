"""Which rows of a source are equal, byte for byte, and batches that hold each of them once.

Rows are never sorted nor held: each is hashed to 64 bits as it streams by, the hashes are sorted, and then every row is
compared with the first one of its hash, so that the answer is exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._typing import Source

__all__ = ["DistinctRows", "find_distinct_rows"]

BLOCK_BYTES = 2**24
"""Rows looked at together."""


class DistinctRows(NamedTuple):
    """Rows of one kind of bytes share a code.

    Attributes
    ----------
    first : Tensor (u,)
        For each code, the number of the first row that has it.
    codes : Tensor (n,)
        Of each row.
    """

    first: Tensor
    codes: Tensor

    def of_batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return which rows to take, and where each row of the batch stands among them.

        Parameters
        ----------
        index : Tensor (b,) or (r, b)
            Row numbers; of a stack of restarts each slice has rows of its own.

        Returns
        -------
        rows : Tensor (u,) or (r, u)
            Row numbers. Slices with fewer distinct rows than others are filled up with row 0.
        inverse : Tensor, of the shape of `index`
        """
        codes = self.codes[index]
        if index.ndim == 1:
            found, inverse = torch.unique(codes, return_inverse=True)
            return self.first[found], inverse
        n_codes, restart = len(self.first), torch.arange(len(index), device=index.device).unsqueeze(-1)
        found, inverse = torch.unique(codes + restart * n_codes, return_inverse=True)  # sorted: slice after slice
        owner = found // n_codes
        counts = torch.bincount(owner, minlength=len(index))
        before = counts.cumsum(0) - counts
        rows = self.first.new_zeros(len(index), int(counts.max()))
        rows[owner, torch.arange(len(found), device=index.device) - before[owner]] = self.first[found % n_codes]
        return rows, inverse - before.unsqueeze(-1)


def find_distinct_rows(source: Source, device: torch.device) -> DistinctRows:
    """Look through a source of random access for equal rows.

    Time is two passes over the data and the sorting of n numbers; memory beyond the source 40 bytes a row.
    """
    step = max(1, BLOCK_BYTES // max(1, source.n_features * source.dtype.itemsize))
    blocks = [np.arange(start, min(start + step, source.n_rows)) for start in range(0, source.n_rows, step)]
    hashes = np.concatenate([hash_rows(source.take(block)) for block in blocks])
    _, first, codes = np.unique(hashes, return_index=True, return_inverse=True)
    codes = codes.reshape(-1)
    for block in blocks:
        same = (_bytes(source.take(block)) == _bytes(source.take(first[codes[block]]))).all(1)
        # Another row of the same hash, which there will hardly ever be, gets a code of its own: that is still exact.
        codes[block[~same]] = len(first) + np.arange((~same).sum())
        first = np.append(first, block[~same])
    return DistinctRows(torch.from_numpy(first).to(device), torch.from_numpy(codes).to(device))


def hash_rows(rows: np.ndarray) -> np.ndarray:
    """Return a 64-bit hash of the bytes of each row (b, f): (b,), uint64.

    Each word is scrambled together with its place before the words are added up. (Sums of multiples alone would not
    do: floats such as 0 and 1 differ in their highest bits only, and so would all the sums.)
    """
    raw = _bytes(rows)
    padded = np.zeros((len(raw), -(-raw.shape[1] // 8) * 8), np.uint8)
    padded[:, : raw.shape[1]] = raw
    words = padded.view(np.uint64)
    words += np.arange(1, words.shape[1] + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finaliser of SplitMix64
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words.sum(1, dtype=np.uint64)


def _bytes(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
