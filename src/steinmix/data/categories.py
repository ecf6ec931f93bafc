"""Columns of categories as columns of 0 and 1, one for each value (one-hot), behind the columns that are numbers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._typing import Source
from ..errors import DataError, UnknownCategoryWarning
from ._common import both_forms
from .texts import Coded, canonical

__all__ = ["EncodedSource", "encoded"]

MOST_VALUES = 1000
"""Of one column: more are names or numbers of rows rather than categories."""

UNKNOWN = -1


class EncodedSource:
    """Rows of a source and, behind its columns, one column ``name=value`` for each value of each category column.

    The numbers of the values are held in memory, two bytes a row and category column; all else is read as from the
    source alone. Numbers of type uint8 (and bool) become float32, the others keep their type.

    Parameters
    ----------
    base : Source of shape (n, f)
    codes : ndarray of int16 (n, c)
        Number of the value of each category column; `UNKNOWN` gives noughts.
    categories : mapping of str to sequence of str
        Category column -> its values, in order.
    """

    def __init__(self, base: Source, codes: np.ndarray, categories: Mapping[str, Sequence[str]]) -> None:
        self.base, self.codes = base, codes
        self.categories = {name: list(values) for name, values in categories.items()}
        sizes = [len(values) for values in self.categories.values()]
        self._first = base.n_features + np.cumsum([0, *sizes[:-1]])
        self.n_rows, self.n_features = base.n_rows, base.n_features + sum(sizes)
        # uint8 are taken for pixels and divided by 255: 0 and 1 must not be.
        self.dtype = np.dtype(np.float32) if base.dtype == np.uint8 else base.dtype
        self.random_access = base.random_access
        own = base.feature_names or [str(j) for j in range(base.n_features)]
        self.feature_names: list[str] | None = [
            *own,
            *(f"{name}={value}" for name, values in self.categories.items() for value in values),
        ]

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the rows `index` (b,) as a new array (b, f)."""
        return self._joined(np.asarray(index), self.base.take(index))

    def blocks(self, rows: int, rng: np.random.Generator | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (index (b,), rows (b, f)), in the order of the source."""
        for index, block in self.base.blocks(rows, rng):
            yield index, self._joined(index, block)

    def describe(self) -> dict[str, Any]:
        """Return what the source says, the shape with the new columns, the type, and the categories."""
        own = {"shape": [self.n_rows, self.n_features], "dtype": str(self.dtype), "categories": self.categories}
        return self.base.describe() | own

    def _joined(self, index: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(numbers), self.n_features), self.dtype)
        rows[:, : self.base.n_features] = numbers
        codes = self.codes[index]
        row, column = np.nonzero(codes != UNKNOWN)
        rows[row, self._first[column] + codes[row, column]] = 1
        return rows


def encoded(
    base: Source, columns: Mapping[str, Coded], known: Mapping[str, Sequence[str]] | None = None
) -> EncodedSource:
    """Put category columns behind the columns of a source.

    Parameters
    ----------
    base : Source of shape (n, f)
    columns : mapping of str to Coded (n,)
        By name.
    known : mapping of str to sequence of str, optional
        Category column -> the values there are, in order; those found, sorted, unless given.

    Raises
    ------
    DataError
        If a column has more than `MOST_VALUES` values, or a new column has the name of another.

    Warns
    -----
    UnknownCategoryWarning
        If values are not among the known; such a row has 0 in all columns of that category column.
    """
    codes = np.empty((base.n_rows, len(columns)), np.int16)
    categories = {}
    for j, (name, column) in enumerate(columns.items()):
        values = column.values if known is None else list(known[name])
        if len(values) > MOST_VALUES:
            raise DataError(
                f"column {name!r} has {len(values):,} different values; expected categories, {MOST_VALUES:,} at most. "
                f"Leave it out with {both_forms('exclude', [name])}."
            )
        # Models of earlier versions know values as their kind of file spelt them.
        place = {canonical(value): i for i, value in enumerate(values)}
        codes[:, j] = np.array([place.get(value, UNKNOWN) for value in column.values], np.int16)[column.codes]
        categories[name] = values
        _tell_unknown(name, sorted(set(column.values) - set(place)), codes[:, j] == UNKNOWN, values)
    source = EncodedSource(base, codes, categories)
    names = source.feature_names or []
    if len(set(names)) < len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise DataError(
            f"two columns would be called {twice!r}: one of them stands for a value of a category column. Rename that "
            "column, or leave one out."
        )
    return source


def _tell_unknown(name: str, values: Sequence[str], rows: np.ndarray, known: Sequence[str]) -> None:
    """Warn of `values` that are not `known`, in the rows (n,) that are true."""
    if not values:
        return
    if known and len(rows) > 1 and rows.all():
        what = f"none of the {len(rows)} rows has a known value of {name!r}: got for example {values[0]!r}, expected "
        text = f"{what}for example {known[0]!r}. The type or the coding of the column has probably changed;"
    else:
        few = ", ".join(repr(value) if value else "none at all" for value in values[:5])
        few += ", ..." if len(values) > 5 else ""
        text = f"{int(rows.sum())} of the rows have a value of {name!r} that is not known ({few}):"
    tail = "such rows are 0 in all of its columns, maybe nearer the mean than with any value: their scores say little."
    warnings.warn(f"{text} {tail}", UnknownCategoryWarning, stacklevel=4)
