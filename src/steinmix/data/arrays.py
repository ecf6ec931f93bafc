"""Sources whose rows can be taken in any order: arrays in memory, arrays on disk, sparse matrices."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from torch import Tensor

from .._typing import Source
from ..errors import DataError
from ._common import keep_columns, kept_dtype, reading, slices

__all__ = [
    "ArraySource",
    "HeldSource",
    "NpySource",
    "SparseSource",
    "from_array",
    "from_memmap",
    "from_sparse",
    "from_tensor",
    "held",
]

HELD_BYTES = 32 * 2**20
"""Up to here a file is held: memory of larger ones must not grow with their rows. Twice what reading takes anyway."""
HELD_ROWS = 8192
"""Rows read at a time."""


class ArraySource:
    """Rows of one two-dimensional array, in memory or mapped from a file.

    Parameters
    ----------
    array : ndarray (n, f)
        Kept as it is, never written to.
    feature_names : list of str or None
    columns : sequence of int or None
        Positions of the columns to serve, chosen row by row so that a mapped file is not copied.
    kind : str
        What `describe` calls the data.
    """

    random_access = True

    def __init__(
        self,
        array: np.ndarray,
        feature_names: list[str] | None = None,
        columns: Sequence[int] | None = None,
        kind: str = "array",
    ) -> None:
        self._array = array
        self.feature_names = feature_names
        self.n_rows, width = array.shape
        self.n_features = width if columns is None else len(columns)
        self.dtype = kept_dtype(array.dtype)
        self._columns = None if columns is None else list(columns)
        self._kind = kind

    @property
    def array(self) -> np.ndarray | None:
        """The rows (n, f), never to be written to; None if they are not in memory as they are served."""
        on_disk = isinstance(self._array, np.memmap)
        return None if on_disk or self._columns is not None or self._array.dtype != self.dtype else self._array

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the rows `index` (b,) as a new C-ordered array (b, f)."""
        return self._served(self._array[index])

    def blocks(self, rows: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (index (b,), rows (b, f)), `rows` at a time; in random order of blocks with `rng`."""
        for start, stop in slices(self.n_rows, rows, rng):
            yield np.arange(start, stop), self._served(self._array[start:stop])

    def describe(self) -> dict[str, Any]:
        """Return kind, shape, dtype, and the path of a mapped file, as plain JSON values."""
        shape, path = [self.n_rows, self.n_features], getattr(self._array, "filename", None)
        found = {"kind": self._kind, "shape": shape, "dtype": str(self.dtype)}
        return found | {"path": str(path)} if path else found

    def _served(self, rows: np.ndarray) -> np.ndarray:
        """Copy always: a block must never alias the caller's data, nor be read-only (torch warns of it)."""
        chosen = rows if self._columns is None else rows[:, self._columns]
        return np.array(chosen, dtype=self.dtype, order="C", subok=False)


class NpySource(ArraySource):
    """Rows of an array in a ``.npy`` file, mapped and not read; pickled as its path.

    Parameters
    ----------
    path : path-like
    columns : sequence of int or None
        Positions of the columns to serve.

    Raises
    ------
    DataError
        If the file is missing, damaged, holds Python objects, or is not a two-dimensional array of numbers.
    """

    def __init__(self, path: Path, columns: Sequence[int] | None = None) -> None:
        super().__init__(_mapped(path), columns=columns, kind="npy")
        self.path = path

    def describe(self) -> dict[str, Any]:
        """Return kind, shape, dtype and path as plain JSON values."""
        return super().describe() | {"path": str(self.path)}

    def __reduce__(self):
        return type(self), (self.path, self._columns)


class HeldSource(ArraySource):
    """Rows of a source that is read front to back, read once and held in memory; told of as that source.

    Parameters
    ----------
    base : Source
    """

    def __init__(self, base: Source) -> None:
        rows = np.empty((base.n_rows, base.n_features), base.dtype)
        for index, block in base.blocks(HELD_ROWS):
            rows[index] = block
        super().__init__(rows, base.feature_names)
        self._base = base

    def describe(self) -> dict[str, Any]:
        """Return what the source says of itself."""
        return self._base.describe()


def held(source: Source, most_bytes: int) -> Source:
    """Return the source, or its rows held in memory where they cannot be taken singly and are few.

    Parameters
    ----------
    source : Source
    most_bytes : int
        What the user allows; `HELD_BYTES` is never exceeded.

    Raises
    ------
    DataError
        If a file that is read here is damaged or has missing values.
    """
    small = source.n_rows * source.n_features * source.dtype.itemsize <= min(most_bytes, HELD_BYTES)
    return HeldSource(source) if small and not source.random_access else source


class SparseSource:
    """Rows of a sparse matrix; only the rows asked for are made dense.

    Parameters
    ----------
    matrix : scipy.sparse CSR (n, f)
    feature_names : list of str or None
    """

    random_access = True

    def __init__(self, matrix: Any, feature_names: list[str] | None = None) -> None:
        self.matrix = matrix
        self.feature_names = feature_names
        self.n_rows, self.n_features = matrix.shape
        self.dtype = kept_dtype(matrix.dtype)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the rows `index` (b,) as a dense C-ordered array (b, f)."""
        return self._dense(self.matrix[index])

    def blocks(self, rows: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (index (b,), rows (b, f)), `rows` at a time; in random order of blocks with `rng`."""
        for start, stop in slices(self.n_rows, rows, rng):
            yield np.arange(start, stop), self._dense(self.matrix[start:stop])

    def describe(self) -> dict[str, Any]:
        """Return kind, shape, dtype and the number of stored values as plain JSON values."""
        shape = [int(self.n_rows), int(self.n_features)]
        return {"kind": "sparse", "shape": shape, "dtype": str(self.dtype), "nnz": int(self.matrix.nnz)}

    def _dense(self, rows: Any) -> np.ndarray:
        return rows.toarray(order="C").astype(self.dtype, copy=False)


def from_array(
    X: Any,
    columns: Sequence[Any] | None = None,
    exclude: Collection[Any] = (),
    feature_names: list[str] | None = None,
    kind: str = "array",
) -> ArraySource:
    """Check an array-like (n, f) as scikit-learn does and wrap it, without a copy where it is C-ordered."""
    if np.ma.isMaskedArray(X) and np.ma.is_masked(X):
        raise DataError("Got a masked array with masked entries; expected complete data. Fill or drop those rows.")
    array = _checked(X, feature_names)
    kept = keep_columns(array.shape[1], None, columns, exclude)
    if kept is not None:
        array = np.ascontiguousarray(array[:, kept])
    return ArraySource(array.astype(kept_dtype(array.dtype), copy=False), feature_names, kind=kind)


def from_tensor(X: Tensor, columns: Sequence[int] | None = None, exclude: Collection[int] = ()) -> ArraySource:
    """Wrap a dense CPU tensor (n, f); its memory is shared where NumPy knows its type."""
    if X.device.type != "cpu" or X.layout != torch.strided:
        raise DataError(
            f"Got a tensor on {X.device} ({X.layout}); expected a dense CPU tensor. Use X.to_dense().cpu()."
        )
    X = X.detach()
    return from_array((X if _numpy_knows(X) else X.float()).numpy(), columns, exclude)


def from_sparse(
    X: Any,
    columns: Sequence[int] | None = None,
    exclude: Collection[int] = (),
    feature_names: list[str] | None = None,
) -> SparseSource:
    """Check a scipy sparse matrix (n, f) of any format and wrap it as CSR."""
    matrix = _checked(X, None)
    if not matrix.has_canonical_format:  # entries of one place count as their sum, in the type of the data
        matrix = matrix.copy()
        matrix.sum_duplicates()
    kept = keep_columns(matrix.shape[1], None, columns, exclude)
    return SparseSource(matrix if kept is None else matrix[:, kept].tocsr(), feature_names)


def from_memmap(X: np.memmap, columns: Sequence[int] | None = None, exclude: Collection[int] = ()) -> ArraySource:
    """Wrap a `numpy.memmap` (n, f), reading no values: `column_statistics` finds NaN and infinity."""
    _check_layout(X, "the memmap")
    kept = keep_columns(X.shape[1], None, columns, exclude)
    return ArraySource(X, columns=kept, kind="memmap")


def _checked(X: Any, feature_names: list[str] | None) -> Any:
    """scikit-learn's own validation and words, as a DataError; its TypeErrors pass."""
    try:
        accepted: Any = "csr"
        array = check_array(X, accept_sparse=accepted, dtype="numeric", order="C", input_name="X")
    except ValueError as err:
        where = _first_bad_cell(X, feature_names) if "contains" in str(err) else ""
        raise DataError(f"{err}{where}") from err
    if array.dtype.kind not in "buif":
        raise DataError(f"Got data of type {array.dtype}; expected numbers. Encode the values as numbers.")
    return array


def _first_bad_cell(X: Any, feature_names: list[str] | None) -> str:
    """Say where the first NaN or infinity is."""
    if hasattr(X, "iloc"):  # a frame of pandas, whose missing values of nullable types are no numbers
        X = X.to_numpy(np.float64, na_value=np.nan)
    if not isinstance(X, np.ndarray) or X.ndim != 2 or X.dtype.kind != "f" or not X.size:
        return ""
    bad = ~np.isfinite(X)
    if not bad.any():
        return ""
    row, column = np.unravel_index(int(bad.argmax()), X.shape)
    name = f" ({feature_names[column]!r})" if feature_names else ""
    return f"\nThe first such value is in row {row}, column {column}{name}."


def _check_layout(array: np.ndarray, what: str) -> None:
    if array.ndim != 2:
        raise DataError(f"Expected 2D array, got {array.ndim}D array instead in {what}. Reshape it to (rows, columns).")
    if array.dtype.kind == "c":
        raise DataError(f"Complex data not supported: {what} is of type {array.dtype}.")
    if array.dtype.kind not in "buif":
        raise DataError(f"Got {what} of type {array.dtype}; expected numbers. Encode the values as numbers.")
    if 0 in array.shape:
        raise DataError(f"Got {what} of shape {array.shape}; expected at least one row and one column.")


def _mapped(path: Path) -> np.ndarray:
    with reading(path, "a .npy file of numbers, as numpy.save writes it"):
        array = np.lib.format.open_memmap(path, mode="r")
    _check_layout(array, str(path))
    return array


def _numpy_knows(X: Tensor) -> bool:
    try:
        X[:0].numpy()
    except TypeError:
        return False
    return True
