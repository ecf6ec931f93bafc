"""`StreamedSource`: rows that are decoded piece by piece, so that memory does not grow with their number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ._common import both_forms, slices

__all__ = ["PIECE_BYTES", "StreamedSource", "missing_value", "refuse_nulls", "stack_scalars"]

# Decoded rows held at once. Small beside what torch itself takes, large enough to hide the cost of a call.
PIECE_BYTES = 16 * 2**20


class StreamedSource(ABC):
    """Base of the sources that read a file front to back; a subclass defines `_pieces`.

    Parameters
    ----------
    path : Path
    n_rows, n_features : int
    dtype : numpy.dtype
    feature_names : list of str or None
    kind : str
    """

    random_access = False

    def __init__(
        self, path: Path, n_rows: int, n_features: int, dtype: Any, feature_names: list[str] | None, kind: str
    ) -> None:
        self.path = path
        self.n_rows = n_rows
        self.n_features = n_features
        self.dtype = np.dtype(dtype)
        self.feature_names = feature_names
        self._kind = kind

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the rows `index` (b,) as a new array (b, f); it reads the file, so use `blocks` for many."""
        wanted = np.asarray(index)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < self.n_rows:
            raise IndexError(f"Got rows {wanted.min()} to {wanted.max()}; expected rows of 0 to {self.n_rows - 1}.")
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        rows, found = np.empty((len(wanted), self.n_features), self.dtype), 0
        for start, piece in self._pieces(None, ascending):
            low, high = np.searchsorted(ascending, [start, start + len(piece)])
            rows[order[low:high]] = piece[ascending[low:high] - start]
            found += high - low
        if found < len(wanted):  # what is left in `rows` is whatever stood in that memory
            raise self._changed("fewer")
        return rows

    def blocks(self, rows: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (index (b,), rows (b, f)), at most `rows` at a time; a piece of the file is cut into blocks.

        With `rng`, the blocks of a piece come in random order, and so do the pieces where the format lets
        them.

        Raises
        ------
        DataError
            If the file has another number of rows than when it was opened.
        """
        found = 0
        for start, piece in self._pieces(rng, None):
            found += len(piece)
            if found > self.n_rows:
                raise self._changed("more")
            for low, high in slices(len(piece), rows, rng):
                yield np.arange(start + low, start + high), piece[low:high]
        if found < self.n_rows:
            raise self._changed("fewer")

    def describe(self) -> dict[str, Any]:
        """Return kind, shape, dtype and path as plain JSON values."""
        shape = [self.n_rows, self.n_features]
        return {"kind": self._kind, "shape": shape, "dtype": str(self.dtype), "path": str(self.path)}

    def _changed(self, how: str) -> DataError:
        """Return the error for a file that was written again after it was opened."""
        return DataError(
            f"{self.path} had {self.n_rows} rows when it was opened and now has {how}; leave it as it is while it is "
            "read, or open it again."
        )

    @property
    def _piece_rows(self) -> int:
        return max(1, PIECE_BYTES // (self.n_features * self.dtype.itemsize))

    @abstractmethod
    def _pieces(self, rng: np.random.Generator | None, wanted: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (first row, new array of rows); pieces that hold none of `wanted`, ascending, may be left out."""


def stack_scalars(
    batch: Any, dtype: np.dtype, first_row: int, path: Path, names: Sequence[Any] | None = None
) -> np.ndarray:
    """Return the columns of a pyarrow record batch, called `names` in errors, side by side as a new array (b, f)."""
    rows = np.empty((batch.num_rows, batch.num_columns), dtype)
    for j, (name, column) in enumerate(zip(names or batch.schema.names, batch.columns)):
        refuse_nulls(column, name, first_row, path)
        rows[:, j] = column.to_numpy(zero_copy_only=False)
    return rows


def refuse_nulls(column: Any, name: Any, first_row: int, path: Path) -> None:
    """Raise for a missing value: there is no number that means it."""
    if column.null_count:
        row = first_row + int(column.is_null().to_numpy(zero_copy_only=False).argmax())
        raise missing_value(path, row, name)


def missing_value(path: Path, row: int, name: Any) -> DataError:
    """Return the error that tells where a value is missing."""
    return DataError(
        f"{path} has a missing value in row {row}, column {name!r}; expected complete rows. "
        f"Fill it, drop the row, or leave the column out with {both_forms('exclude', [name])}."
    )
