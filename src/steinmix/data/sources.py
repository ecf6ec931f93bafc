"""`as_source`: anything that holds rows becomes a `Source`, the one thing training reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from torch import Tensor

from .._typing import Source
from ..errors import ConfigError, DataError
from ._common import NothingKept, UnknownColumns, ending, keep_columns, require
from .arrays import ArraySource, NpySource, from_array, from_memmap, from_sparse, from_tensor
from .categories import EncodedSource, encoded
from .columnar import files_of
from .csv import ENDINGS as CSV_ENDINGS
from .csv import CsvSource
from .frames import from_frame, is_frame
from .ipc import ENDINGS as IPC_ENDINGS
from .ipc import IpcSource
from .parquet import ENDINGS as PARQUET_ENDINGS
from .parquet import ParquetSource
from .texts import coded_columns

__all__ = ["Categories", "UnknownColumns", "as_source", "ending", "require"]


Categories = Sequence[str] | Mapping[str, Sequence[str]]
"""Names of category columns, or names and the values that are known."""


def as_source(
    X: Any,
    *,
    columns: Sequence[Any] | None = None,
    exclude: Collection[Any] = (),
    categories: Categories = (),
) -> Source:
    """Wrap `X` as a `Source` of rows.

    In-memory data are checked here (shape, type, NaN, infinity) and shared, not copied, where they are
    C-ordered. Files are opened and their layout is checked; their values are checked by `column_statistics`
    as they stream by.

    Parameters
    ----------
    X : array-like, Tensor, data frame, sparse matrix, memmap, path, or Source; (n, f)
        A path names a ``.npy`` file (mapped), a ``.parquet`` or ``.arrow`` (``.feather``) file or a folder of
        them (streamed group by group), or a ``.csv`` or ``.tsv`` file, also gzipped (streamed). Capitals in the
        ending make no difference, and hidden files of a folder are left alone. Any frame that narwhals knows is
        accepted, pandas without narwhals too. A Source is returned as it is.
    columns : sequence or None
        Columns to keep, in this order: names where the data have names, positions otherwise. All by default.
    exclude : collection
        Columns to leave out, e.g. labels or identifiers.
    categories : sequence of str, or mapping of str to sequence of str
        Named columns of a file or data frame that hold categories, such as text. Each becomes one column of 0 and 1
        for each of its values, ``name=value``, behind the others; a missing value is "". For new rows give the
        mapping that ``source.categories`` of the first ones is: the same columns come out, and values not seen before
        are told and are 0 in all of them.

    Returns
    -------
    Source
        Its rows keep the type of the data; bool becomes uint8, CSV float64, and uint8 beside categories float32.

    Raises
    ------
    DataError
        If the data cannot be used; it is a ValueError with scikit-learn's words where scikit-learn has some.
    TypeError
        If an element is no number at all, as in scikit-learn.
    ConfigError
        If a column is unknown, or a package of the extra ``data`` is missing.

    Examples
    --------
    >>> import numpy as np
    >>> source = as_source(np.eye(3, dtype=np.float32))
    >>> source.describe()
    {'kind': 'array', 'shape': [3, 3], 'dtype': 'float32'}
    >>> source.take(np.array([2, 0]))
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    if any(isinstance(given, str) for given in (columns, exclude, categories)):
        text = "Got one string for `columns`, `exclude` or `categories`; expected a list of names. Write ['name']."
        raise ConfigError(text)
    columns, exclude = None if columns is None else list(columns), list(exclude)  # an array or an index says no truth
    if twice := set(categories) & {*exclude, *(columns or ())}:
        raise ConfigError(f"Got {sorted(twice)} as categories and in `columns` or `exclude`; expected one of these.")
    if len(categories):
        return _with_categories(X, columns, exclude, categories)
    for accepts, wrap in _KINDS:
        if accepts(X):
            return wrap(X, columns, exclude)
    return from_array(X, columns, exclude)


def _with_categories(
    X: Any, columns: Sequence[Any] | None, exclude: Collection[Any], categories: Categories
) -> EncodedSource:
    try:
        base = as_source(X, columns=columns, exclude=[*exclude, *(() if columns is not None else categories)])
    except NothingKept:
        base = None  # all columns are categories
    coded = coded_columns(X, categories)
    if base is None:
        base = ArraySource(np.empty((len(next(iter(coded.values())).codes), 0), np.float32), kind="categories")
    return encoded(base, coded, categories if isinstance(categories, Mapping) else None)


def _unchanged(source: Source, columns: Sequence[Any] | None, exclude: Collection[Any]) -> Source:
    if columns is not None or len(exclude):
        raise ConfigError("Got `columns` or `exclude` for data that are a Source already. Give them when it is made.")
    return source


def _from_path(path: str | os.PathLike[str], columns: Sequence[Any] | None, exclude: Collection[Any]) -> Source:
    found = Path(path)
    if not found.exists():
        raise DataError(f"There is no file {found}; expected {_READABLE}. Check the path.")
    if found.is_dir():
        return _of_folder(found)(found, columns, exclude)
    if ending(found) not in _SUFFIXES:
        raise DataError(f"Got {found}, a file of unknown kind; expected {_READABLE}. Convert it, or load it yourself.")
    return _SUFFIXES[ending(found)](found, columns, exclude)


def _of_folder(path: Path) -> Callable[..., Source]:
    files = files_of(path, (*PARQUET_ENDINGS, *IPC_ENDINGS), "Parquet or Arrow")
    readers = {_SUFFIXES[ending(file)]: file.name for file in files}
    if len(readers) > 1:
        both = " and ".join(readers.values())
        raise DataError(f"The folder {path} holds files of two kinds ({both}); expected one kind. Move the other away.")
    return next(iter(readers))


def _from_npy(path: Path, columns: Sequence[int] | None, exclude: Collection[int]) -> NpySource:
    source = NpySource(path)
    kept = keep_columns(source.n_features, None, columns, exclude)
    return source if kept is None else NpySource(path, kept)


_SUFFIXES: dict[str, Callable[..., Source]] = {
    ".npy": _from_npy,
    **dict.fromkeys(PARQUET_ENDINGS, ParquetSource),
    **dict.fromkeys(IPC_ENDINGS, IpcSource),
    **dict.fromkeys(CSV_ENDINGS, CsvSource),
}
_READABLE = f"a file that ends in {', '.join(_SUFFIXES)}, or a folder of Parquet or Arrow files"

# First match wins. A memmap is an array too, hence its place.
_KINDS: tuple[tuple[Callable[[Any], bool], Callable[..., Source]], ...] = (
    (lambda X: isinstance(X, Source), _unchanged),
    (lambda X: isinstance(X, str | os.PathLike), _from_path),
    (lambda X: isinstance(X, Tensor), from_tensor),
    (sp.issparse, from_sparse),
    (lambda X: isinstance(X, np.memmap), from_memmap),
    (is_frame, from_frame),
)
