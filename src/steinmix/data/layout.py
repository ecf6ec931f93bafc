"""How the columns of Arrow tables become features, and the packed layout that is read fastest.

==========================  ===============================================================================
columns                     features
==========================  ===============================================================================
numbers                     one each
one of vectors              its elements: a list, a fixed-size list, or fixed-size binary, read as uint8
packed (`PACKED`)           one of fixed-size binary that holds whole rows; the schema's metadata tells their
                            type and names. Other columns beside it, such as labels, are no features
==========================  ===============================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ._common import both_forms, keep_columns, kept_dtype, not_numeric
from .streams import refuse_nulls, stack_scalars

__all__ = ["PACKED", "Layout", "flat_values", "layout_of", "packed_schema", "rows_of"]

PACKED = b"steinmix-packed"
"""Key of the metadata of a packed table: JSON with the column's name, the type and the names of the features."""

# pandas stores a row index as a column of this name; it is no feature.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class Layout(NamedTuple):
    """How columns become features.

    Attributes
    ----------
    columns : list of str
        To be read.
    vector : str or None
        The one column that holds whole rows, if there is one.
    width : int
        Features read; -1 if the schema leaves it open.
    dtype : numpy.dtype
    names : list of str or None
        Of the features served.
    taken : list of int or None
        Positions of the features served, of a packed table; None for all.
    """

    columns: list[str]
    vector: str | None
    width: int
    dtype: np.dtype
    names: list[str] | None = None
    taken: list[int] | None = None

    @property
    def n_features(self) -> int:
        """Features served."""
        return self.width if self.taken is None else len(self.taken)


def layout_of(schemas: Mapping[Path, Any], columns: Sequence[Any] | None, exclude: Collection[Any]) -> Layout:
    """Return the layout that the tables of all files share.

    Raises
    ------
    DataError
        If the tables differ, or columns are not numbers.
    ConfigError
        If a column is unknown.
    """
    (first, schema), *others = schemas.items()
    names = [n for n in schema.names if not _PANDAS_INDEX.fullmatch(n)]
    if len(set(names)) < len(names):
        raise DataError(f"{first} has several columns of one name; expected unique names. Rename them.")
    packed = _packed(schema, first)
    if packed is None:
        kept = keep_columns(len(names), names, columns, exclude)
        chosen = names if kept is None else [names[i] for i in kept]
    else:
        chosen = [packed["column"]]
    fields = [schema.field(name) for name in chosen]
    for file, other in others:
        _check_same(first, fields, file, other, _packed(other, file) == packed)
    return (
        _plain_layout(fields, first) if packed is None else _packed_layout(packed, fields[0], names, columns, exclude)
    )


def packed_schema(dtype: np.dtype, width: int, names: Sequence[str] | None, beside: Sequence[Any] = ()) -> Any:
    """Return the schema of a packed table of rows (n, width), with the fields `beside` them."""
    import pyarrow as pa

    told = {"column": "rows", "dtype": np.dtype(dtype).newbyteorder("<").str, "names": names and list(names)}
    fields = [pa.field("rows", pa.binary(width * np.dtype(dtype).itemsize), nullable=False), *beside]
    return pa.schema(fields, metadata={PACKED: json.dumps(told)})


def rows_of(batch: Any, layout: Layout, start: int, path: Path) -> np.ndarray:
    """Return the rows of a record batch, whose first is row `start`, as a new array (b, f)."""
    if layout.vector is None:
        return stack_scalars(batch, layout.dtype, start, path)
    rows = _stack_vectors(batch.column(0), layout, start, path)
    return rows if layout.taken is None else np.ascontiguousarray(rows[:, layout.taken])


def _packed(schema: Any, path: Path) -> dict[str, Any] | None:
    """Return what the metadata of a packed table tells, checked; None for another table."""
    import pyarrow as pa

    text = (schema.metadata or {}).get(PACKED)
    if text is None:
        return None
    try:
        told = json.loads(text)
        dtype, names = np.dtype(told["dtype"]), told["names"]
        kind = schema.field(told["column"]).type
        width, rest = divmod(kind.byte_width, dtype.itemsize)
        sound = pa.types.is_fixed_size_binary(kind) and dtype.kind in "buif" and width and not rest
        sound = sound and (names is None or len(names) == width)
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} says that it is packed, but not how ({error}); pack it again.") from error
    if not sound:
        raise DataError(f"{path} says that it is packed, and its rows do not fit what it says; pack it again.")
    return told


def _packed_layout(
    packed: dict[str, Any], field: Any, beside: Sequence[str], columns: Sequence[Any] | None, exclude: Collection[Any]
) -> Layout:
    dtype, names = np.dtype(packed["dtype"]), packed["names"]
    width = field.type.byte_width // dtype.itemsize
    own = [c for c in exclude if c not in beside]  # what stands beside the rows is left out in any case
    taken = keep_columns(width, names, columns, own)
    served = names if names is None or taken is None else [names[i] for i in taken]
    return Layout([packed["column"]], packed["column"], width, kept_dtype(dtype), served, taken)


def _check_same(first: Path, fields: list[Any], path: Path, schema: Any, packed_alike: bool) -> None:
    different = [f.name for f in fields if f.name not in schema.names or schema.field(f.name).type != f.type]
    if different or not packed_alike:
        raise DataError(
            f"{path} differs from {first} in the columns {different[:10]}; expected the same columns of the "
            "same types in all files of a folder. Write them alike, or choose others with columns=[...]."
        )


def _plain_layout(fields: list[Any], path: Path) -> Layout:
    names = [f.name for f in fields]
    vectors = [f for f in fields if _vector_type(f.type) is not None]
    if len(vectors) == len(fields) == 1:
        element, width = _vector_type(fields[0].type)  # type: ignore[misc]
        return Layout(names, names[0], width, element)
    if vectors:
        raise DataError(
            f"{path} has vectors in column {vectors[0].name!r} and other columns beside it ({len(fields)} in "
            "all); expected one column of vectors, or numbers only. Leave it out with "
            f"{both_forms('exclude', [vectors[0].name])}, or all others with columns=[{vectors[0].name!r}]."
        )
    wrong = [f for f in fields if _scalar_type(f.type) is None]
    if wrong:
        raise not_numeric([f.name for f in wrong], [f.type for f in wrong], str(path))
    dtype = np.result_type(*(_scalar_type(f.type) for f in fields))
    return Layout(names, None, len(names), dtype, names)


def _scalar_type(arrow_type: Any) -> np.dtype | None:
    import pyarrow as pa

    if pa.types.is_decimal(arrow_type):  # amounts of money, as databases export them
        return np.dtype(np.float64)
    known = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean
    return kept_dtype(np.dtype(arrow_type.to_pandas_dtype())) if any(is_(arrow_type) for is_ in known) else None


def _vector_type(arrow_type: Any) -> tuple[np.dtype, int] | None:
    """Return the type and number of elements, -1 if the schema leaves it open; None for no vector."""
    import pyarrow as pa

    if pa.types.is_fixed_size_binary(arrow_type):
        return np.dtype(np.uint8), arrow_type.byte_width
    if pa.types.is_fixed_size_list(arrow_type):
        width = arrow_type.list_size
    elif pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type):
        width = -1
    else:
        return None
    element = _scalar_type(arrow_type.value_type)
    return None if element is None else (element, width)


def _stack_vectors(column: Any, layout: Layout, start: int, path: Path) -> np.ndarray:
    """Return the vectors of a pyarrow array as the rows of a new array (b, f)."""
    refuse_nulls(column, layout.columns[0], start, path)
    values = flat_values(column, layout.width, layout.dtype)
    if values is None:
        raise DataError(
            f"{path}, column {layout.vector!r}: a vector at or after row {start} is not of length "
            f"{layout.width} like the first, or has missing elements; expected complete vectors of one "
            "length. Pad, cut or drop it."
        )
    return np.array(values, dtype=layout.dtype).reshape(len(column), layout.width)


def flat_values(column: Any, width: int, dtype: Any) -> np.ndarray | None:
    """Return the elements of vectors of length `width` in one array; None if a vector is of another length."""
    import pyarrow as pa

    if pa.types.is_fixed_size_binary(column.type):
        stored = np.uint8 if dtype == np.uint8 else np.dtype(dtype).newbyteorder("<")
        values = np.frombuffer(column.buffers()[1], np.uint8).view(stored)
        return values[column.offset * width : (column.offset + len(column)) * width]
    lengths = column.value_lengths() if hasattr(column, "value_lengths") else None
    if lengths is not None and (lengths.to_numpy(zero_copy_only=False) != width).any():
        return None
    flat = column.flatten()
    return None if flat.null_count else flat.to_numpy(zero_copy_only=False)
