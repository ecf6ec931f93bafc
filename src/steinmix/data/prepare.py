"""What is known of the columns, and how they are scaled before training.

=============  ==========================================================================================
rule           scaled row is (x - shift) / scale, per column
=============  ==========================================================================================
``none``       shift 0, scale 1
``standard``   shift the mean, scale the standard deviation; a constant column has scale 1
``minmax``     shift the smallest value of the column, scale its spread; a constant column has scale 1
``range``      shift the smallest value of all columns, scale the spread of all columns: one number
               each, so that columns keep their relations
``common``     shift the mean, scale the root of the mean variance of all columns: one number, so that
               columns keep their relations
``auto``       the first that applies:

               1. fewer than 16 columns vary, and one spreads more than four times as far as another:
                  ``standard`` (age and income; see `spreads_alike`);
               2. all values lie in [0, 1] and crowd at 0 and 1 (bits, grey values): ``none``;
               3. type uint8, and values spread over half of its range: shift 0, scale 255 (images);
               4. columns share a unit (see `shares_unit`): ``range`` if that crowds them at 0 and 1
                  (grey values), else ``common`` (lengths in cm);
               5. columns share a negative floor (see `shares_floor`), and ``range`` makes of them what rule
                  4 would take for grey values: ``range``;
               6. otherwise ``standard``
=============  ==========================================================================================
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._typing import Source
from ..errors import ConfigError, DataError
from ._common import slices
from .arrays import SparseSource

__all__ = [
    "SCALING_RULES",
    "ColumnStatistics",
    "Scaling",
    "check_finite",
    "choose_scaling",
    "column_statistics",
    "shares_floor",
    "shares_unit",
    "spreads_alike",
]


CROWDED = 0.4
"""A bit above what uniform columns have; see `ColumnStatistics.crowds_ends`."""

MANY_COLUMNS = 16
"""So many are taken for an image or for counts of words, where some columns hardly vary and still share the unit."""

BYTE_SPREAD = 128
"""Least spread of bytes that are taken for grey values; answers from 1 to 5 divided by 255 would have none left."""

ALIKE = 4.0
"""Most a spread may exceed another of a small table in one unit: the irises have 2.5, other units tens and more."""


@dataclass(frozen=True)
class ColumnStatistics:
    """What one pass over the rows tells of each column.

    Attributes
    ----------
    n_rows : int
        Rows seen.
    minimum, maximum, mean, variance : ndarray (f,), float64
        The variance divides by n, as scikit-learn's ``StandardScaler`` does.
    checksum : int
        Of all values in the order of their rows, on any machine: other data of the same shape have another.
    """

    n_rows: int
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    checksum: int = 0

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of all columns."""
        return float(self.minimum.min()), float(self.maximum.max())

    @property
    def within_unit(self) -> bool:
        """Whether all values lie in [0, 1]."""
        return self.range[0] >= 0 and self.range[1] <= 1

    @property
    def crowds_ends(self) -> bool:
        """Whether values in [0, 1] crowd at 0 and 1, as those of grey values and of yes and no do.

        Measured is the variance of the columns as a share of what zeros and ones of the same means have: 1 of bits,
        0.8 of MNIST's pixels, 0.5 of the 8 x 8 digits, 1/3 of uniform columns, 0.1 of the irises.
        """
        return bool(self.variance.sum() >= CROWDED * (self.mean * (1 - self.mean)).sum())


@dataclass(frozen=True)
class Scaling:
    """The map x -> (x - shift) / scale.

    Attributes
    ----------
    shift, scale : ndarray (f,), float64
        What is taken off each column, and what it is then divided by.
    """

    shift: np.ndarray
    scale: np.ndarray

    def statistics(self, stats: ColumnStatistics) -> ColumnStatistics:
        """Return what `stats` of the columns become.

        Parameters
        ----------
        stats : ColumnStatistics
            Of the raw columns.
        """
        low, high, mean = ((at - self.shift) / self.scale for at in (stats.minimum, stats.maximum, stats.mean))
        return ColumnStatistics(stats.n_rows, low, high, mean, stats.variance / self.scale / self.scale)


BLOCK_VALUES = 2**20
"""Numbers of a block whose statistics are taken at once: 8 MB in float64."""


def column_statistics(source: Source, rows: int | None = None) -> ColumnStatistics:
    """Return the statistics of the columns of `source`, in one pass that holds `rows` rows at a time.

    Moments are taken about each block's own mean and merged (Chan, Golub and LeVeque, 1983), so that a large
    mean does not swallow a small variance. The zeros that a sparse source does not store are counted, not
    made.

    Parameters
    ----------
    source : Source
        n rows of f features.
    rows : int, optional
        Rows of a block; by default at most 4096, and fewer of wide data.

    Returns
    -------
    ColumnStatistics
        Arrays (f,).

    Raises
    ------
    DataError
        If a value is NaN or infinite; the message names row and column.
    """
    total: ColumnStatistics | None = None
    checksum = 0
    rows = rows or max(1, min(4096, BLOCK_VALUES // source.n_features))
    for index, block in _blocks(source, rows):
        check_finite(block, index, source.feature_names)
        checksum = zlib.crc32(_content(block, index), checksum)
        part = _sparse_moments(block) if sp.issparse(block) else _moments(block)
        total = part if total is None else _merged(total, part)
    if total is None:
        raise DataError("Got data of 0 rows; expected at least 1. Check where they come from.")
    return replace(total, checksum=checksum)


def choose_scaling(stats: ColumnStatistics, rule: str, dtype: Any) -> Scaling:
    """Return the scaling that `rule` means for columns with `stats`.

    Parameters
    ----------
    stats : ColumnStatistics
        Arrays (f,).
    rule : {'auto', 'none', 'standard', 'common', 'range', 'minmax'}
        See the module's table.
    dtype : numpy.dtype
        Type of the rows.

    Returns
    -------
    Scaling
        Arrays (f,).

    Raises
    ------
    ConfigError
        If there is no such rule.
    DataError
        If the spread of a column is too large for float64.
    """
    if rule not in SCALING_RULES:
        raise ConfigError(f"Got scaling {rule!r}; expected one of {', '.join(map(repr, SCALING_RULES))}. Choose one.")
    scaling = SCALING_RULES[rule](stats, np.dtype(dtype))
    bad = ~(np.isfinite(scaling.shift) & np.isfinite(scaling.scale) & (scaling.scale > 0))
    if bad.any():
        raise DataError(
            f"Column {int(bad.argmax())} spreads too far for float64; expected a finite spread. Divide it first."
        )
    return scaling


def spreads_alike(stats: ColumnStatistics) -> bool:
    """Whether nothing tells that columns are measured in different units.

    In a table of fewer than `MANY_COLUMNS` columns that vary, the spread (largest minus smallest value) of none may
    exceed that of another more than `ALIKE` times: one scale for all would hide the narrow one.
    """
    with np.errstate(over="ignore"):
        spread = stats.maximum - stats.minimum
    spread = spread[spread > 0]
    return len(spread) >= MANY_COLUMNS or bool(spread.max(initial=0) <= ALIKE * spread.min(initial=np.inf))


def shares_unit(stats: ColumnStatistics) -> bool:
    """Whether columns look measured in one unit, as grey values and counts are.

    They do if they spread alike, nothing is negative, and at least half of the columns that vary reach at least half
    of the largest value of all.
    """
    varying = stats.maximum > stats.minimum
    if stats.minimum.min() < 0 or not varying.any() or not spreads_alike(stats):
        return False
    return float(np.mean(stats.maximum[varying] >= stats.maximum.max() / 2)) >= 0.5


def shares_floor(stats: ColumnStatistics) -> bool:
    """Whether at least half of the columns that vary have the smallest value of all, and that is negative.

    Images brought to [-1, 1] do, and those of which one mean and one deviation were taken, as their background is one
    number. Columns that were standardised each by itself do not.
    """
    low, varying = stats.minimum.min(), stats.maximum > stats.minimum
    return bool(low < 0 and varying.any() and np.mean(stats.minimum[varying] == low) >= 0.5)


def _none(stats: ColumnStatistics, dtype: np.dtype) -> Scaling:
    return Scaling(np.zeros_like(stats.mean), np.ones_like(stats.mean))


def _standard(stats: ColumnStatistics, dtype: np.dtype) -> Scaling:
    # Rounding may leave a constant column a tiny variance: ask its range.
    varying = (stats.maximum > stats.minimum) & (stats.variance > 0)
    return Scaling(stats.mean.copy(), np.where(varying, np.sqrt(stats.variance), 1.0))


def _minmax(stats: ColumnStatistics, dtype: np.dtype) -> Scaling:
    with np.errstate(over="ignore"):
        spread = stats.maximum - stats.minimum
    return Scaling(stats.minimum.copy(), np.where(spread > 0, spread, 1.0))


def _range(stats: ColumnStatistics, dtype: np.dtype) -> Scaling:
    low, high = stats.minimum.min(), stats.maximum.max()
    with np.errstate(over="ignore"):
        spread = high - low if high > low else 1.0
    return Scaling(np.full_like(stats.mean, low), np.full_like(stats.mean, spread))


def _common(stats: ColumnStatistics, dtype: np.dtype) -> Scaling:
    scale = np.sqrt(stats.variance.mean())
    varying = (stats.maximum > stats.minimum).any() and scale > 0
    return Scaling(stats.mean.copy(), np.full_like(stats.mean, scale if varying else 1.0))


def _auto(stats: ColumnStatistics, dtype: np.dtype) -> Scaling:
    if not spreads_alike(stats):
        return _standard(stats, dtype)
    if stats.within_unit and stats.crowds_ends:
        return _none(stats, dtype)
    low, high = stats.range
    if dtype == np.uint8 and high - low >= BYTE_SPREAD:
        return Scaling(np.zeros_like(stats.mean), np.full_like(stats.mean, 255.0))
    grey = _range(stats, dtype)
    if shares_unit(stats):
        return grey if grey.statistics(stats).crowds_ends else _common(stats, dtype)
    return grey if shares_floor(stats) and _is_grey(grey.statistics(stats)) else _standard(stats, dtype)


def _is_grey(stats: ColumnStatistics) -> bool:
    return shares_unit(stats) and stats.crowds_ends


SCALING_RULES: dict[str, Callable[[ColumnStatistics, np.dtype], Scaling]] = {
    "auto": _auto,
    "common": _common,
    "minmax": _minmax,
    "none": _none,
    "range": _range,
    "standard": _standard,
}


def _blocks(source: Source, rows: int) -> Iterator[tuple[np.ndarray, Any]]:
    if not isinstance(source, SparseSource):
        yield from source.blocks(rows)
        return
    for start, stop in slices(source.n_rows, rows, None):
        block = source.matrix[start:stop].astype(np.float64)
        block.sum_duplicates()
        yield np.arange(start, stop), block


def _content(block: Any, index: np.ndarray) -> memoryview:
    """Return the bytes of a block's values; joined, those of all blocks are the same however long the blocks are."""
    if sp.issparse(block):
        coo = block.tocoo()
        block = np.column_stack([index[coo.row], coo.col, coo.data])
    return np.ascontiguousarray(block, dtype=block.dtype.newbyteorder("<")).data


def check_finite(block: Any, index: np.ndarray, names: list[str] | None) -> None:
    """Raise DataError, naming row and column, if a value of a block is NaN or infinite.

    Parameters
    ----------
    block : ndarray or sparse matrix (b, f)
    index : ndarray (b,)
        Row numbers.
    names : list of str or None
        Of the columns.
    """
    values = block.data if sp.issparse(block) else block
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    if sp.issparse(block):
        coo = block.tocoo()
        at = int((~np.isfinite(coo.data)).argmax())
        row, column, value = coo.row[at], coo.col[at], coo.data[at]
    else:
        row, column = np.unravel_index(int((~np.isfinite(block)).argmax()), block.shape)
        value = block[row, column]
    name = f" ({names[column]!r})" if names else ""
    what = "NaN" if np.isnan(value) else "infinity"
    raise DataError(
        f"Input X contains {what}: {value} in row {index[row]}, column {column}{name}; expected finite "
        "numbers. Fill the value, drop the row, or leave the column out."
    )


def _moments(block: np.ndarray) -> ColumnStatistics:
    values = block.astype(np.float64, copy=False)
    low, high = values.min(axis=0), values.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.clip(values.mean(axis=0), low, high)  # rounded, that of one large value may lie beside it
        variance = np.square(values - mean).mean(axis=0)
    return ColumnStatistics(len(block), low, high, mean, variance)


def _sparse_moments(block: Any) -> ColumnStatistics:
    n, f = block.shape
    minimum, maximum = (
        np.asarray(m.toarray(), dtype=np.float64).ravel() for m in (block.min(axis=0), block.max(axis=0))
    )
    mean = np.clip(np.bincount(block.indices, block.data, f) / n, minimum, maximum)
    stored = np.bincount(block.indices, minlength=f)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.bincount(block.indices, np.square(block.data - mean[block.indices]), f)
        variance = (squares + (n - stored) * np.square(mean)) / n
    return ColumnStatistics(n, minimum, maximum, mean, variance)


def _merged(a: ColumnStatistics, b: ColumnStatistics) -> ColumnStatistics:
    n = a.n_rows + b.n_rows
    share = b.n_rows / n
    with np.errstate(over="ignore", invalid="ignore"):
        delta = b.mean - a.mean
        mean = a.mean + delta * share
        variance = a.variance * (1 - share) + b.variance * share + np.square(delta) * share * (1 - share)
    return ColumnStatistics(n, np.minimum(a.minimum, b.minimum), np.maximum(a.maximum, b.maximum), mean, variance)
