"""Data frames as sources: pandas directly, every other kind through narwhals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from ._common import keep_columns, not_numeric, require
from .arrays import ArraySource, SparseSource, from_array, from_sparse

__all__ = ["frame_column", "from_frame", "is_frame"]


def is_frame(X: Any) -> bool:
    """Whether `X` is a data frame of some library: pandas, Polars, a pyarrow table, ..."""
    if not hasattr(X, "columns"):
        return False
    return any(hasattr(X, name) for name in ("iloc", "__dataframe__", "__arrow_c_stream__", "collect_schema"))


def from_frame(
    X: Any, columns: Sequence[Any] | None = None, exclude: Collection[Any] = ()
) -> ArraySource | SparseSource:
    """Check a data frame (n, f) and wrap its values as one array, or as a sparse matrix if all its columns are sparse.

    Raises
    ------
    DataError
        If columns are not numbers; the message names them.
    ConfigError
        If the frame is not of pandas and narwhals is not installed.
    """
    labels, values = (_pandas if hasattr(X, "iloc") else _narwhals)(X, columns, exclude)
    names = labels if all(isinstance(label, str) for label in labels) else None
    fills = _sparse_fills(values)
    if fills and not any(fills):
        return from_sparse(values.sparse.to_coo(), feature_names=names)
    return from_array(values.sparse.to_dense() if fills else values, feature_names=names, kind="frame")


def frame_column(X: Any, column: str) -> list[Any]:
    """Return the values (n,) of a column of a data frame; what is missing is None, or NaN in frames of some kinds.

    Raises
    ------
    ConfigError
        If there is no such column.
    """
    frame = X if hasattr(X, "iloc") else _eager(X)
    names = list(frame.columns)
    keep_columns(len(names), names, [column], ())  # refuses one it does not have
    values = frame[column]
    # pandas.NA has no truth: it cannot be told from values later.
    return (values.astype(object).where(values.notna(), None) if hasattr(values, "notna") else values).to_list()


def _pandas(X: Any, columns: Sequence[Any] | None, exclude: Collection[Any]) -> tuple[list[Any], Any]:
    kept = keep_columns(X.shape[1], list(X.columns), columns, exclude)
    frame = X if kept is None else X.iloc[:, kept]
    wrong = [i for i in range(frame.shape[1]) if not _pandas_numeric(frame.iloc[:, i])]
    if wrong:
        raise not_numeric([frame.columns[i] for i in wrong], [frame.dtypes.iloc[i] for i in wrong], "The data frame")
    # A frame goes on as a frame: scikit-learn knows pandas' nullable types.
    return list(frame.columns), frame


def _pandas_numeric(column: Any) -> bool:
    if column.dtype == object:  # numbers may hide there
        try:
            np.asarray(column, dtype=np.float64)
        except (TypeError, ValueError):
            return False
        return True
    return getattr(column.dtype, "kind", "O") in "buifc"


def _sparse_fills(values: Any) -> list[Any]:
    """Return what stands for all that is not stored in each column of a frame of pandas; [] if one is not sparse."""
    types = list(getattr(values, "dtypes", ()))
    return [kind.fill_value for kind in types] if all(hasattr(kind, "fill_value") for kind in types) else []


def _narwhals(X: Any, columns: Sequence[str] | None, exclude: Collection[str]) -> tuple[list[str], Any]:
    frame = _eager(X)
    import narwhals.stable.v1 as nw

    kept = keep_columns(len(frame.columns), frame.columns, columns, exclude)
    if kept is not None:
        frame = frame.select([frame.columns[i] for i in kept])
    wrong = {n: t for n, t in frame.schema.items() if not (t.is_numeric() or t == nw.Boolean)}
    if wrong:
        raise not_numeric(list(wrong), list(wrong.values()), "The data frame")
    return frame.columns, frame.to_numpy()


def _eager(X: Any) -> Any:
    require("narwhals.stable.v1", f"Reading a {type(X).__module__} frame")
    import narwhals.stable.v1 as nw

    try:
        return nw.from_native(X, eager_only=True)
    except TypeError as err:
        raise DataError(
            f"Got {type(X).__module__}.{type(X).__name__}; expected a data frame in memory. Collect it first."
        ) from err
