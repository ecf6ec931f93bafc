"""Parquet files as sources: row groups are decoded one at a time, in any order."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ._common import keep_columns, kept_dtype, missing_extra, not_numeric, reading
from .streams import StreamedSource, refuse_nulls, stack_scalars

__all__ = ["ParquetSource", "from_parquet"]

_EXPECTED = "a Parquet file"
# pandas stores a row index as a column of this name; it is no feature.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


class _Group(NamedTuple):
    path: Path
    number: int
    start: int
    rows: int


class _Layout(NamedTuple):
    """How columns become features: `vector` names the one column that holds whole rows, if there is one."""

    columns: list[str]
    vector: str | None
    width: int
    dtype: np.dtype


class ParquetSource(StreamedSource):
    """Rows of one Parquet file, or of all Parquet files of a folder in the order of their names.

    Memory holds one row group, or a piece of it where it is large, never the file. With `rng`, `blocks` takes
    the row groups in random order and shuffles the blocks inside each piece of one: write row groups of
    moderate size (say 10,000 rows) where the file is sorted, e.g. by label. NaN is found by
    `column_statistics`, missing values (null) when they are read.

    Parameters
    ----------
    path : Path
    columns : sequence of str or None
        Columns to serve, in this order. They are numbers, or one column of vectors of equal length (list,
        fixed-size list, or fixed-size binary, which is read as uint8).
    exclude : collection of str
        Columns to leave out.

    Raises
    ------
    DataError
        If there is no such file, it is damaged or empty, or columns are not numbers.
    ConfigError
        If pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, exclude: Collection[str] = ()) -> None:
        self._metadata = {file: _metadata(file) for file in _files(path)}
        self._groups = _groups(self._metadata, path)
        self._layout = _layout(self._metadata, columns, exclude)
        if self._layout.width < 0:  # the length of the vectors is not in the schema
            self._layout = self._layout._replace(width=self._first_length())
        if not self._layout.width:
            raise DataError(f"{path} holds vectors of length 0; expected at least 1. Check how it was written.")
        names = None if self._layout.vector else self._layout.columns
        n_rows = sum(group.rows for group in self._groups)
        super().__init__(path, n_rows, self._layout.width, self._layout.dtype, names, "parquet")

    def describe(self) -> dict[str, Any]:
        """Return kind, shape, dtype, path, and the numbers of files and row groups as plain JSON values."""
        return super().describe() | {"files": len(self._metadata), "row_groups": len(self._groups)}

    def _pieces(self, rng: np.random.Generator | None, wanted: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
        for i in range(len(self._groups)) if rng is None else rng.permutation(len(self._groups)):
            group = self._groups[i]
            if wanted is None or np.diff(np.searchsorted(wanted, [group.start, group.start + group.rows])).any():
                yield from self._decoded(group)

    def _decoded(self, group: _Group) -> Iterator[tuple[int, np.ndarray]]:
        start = group.start
        for batch in self._batches(group, self._piece_rows):
            yield start, self._rows(batch, start, group.path)
            start += batch.num_rows

    @property
    def _reading(self) -> dict[str, Any]:
        """A column is read through a buffer, page by page, or a large row group would be held whole."""
        return {"pre_buffer": False, "buffer_size": max(2**12, 2**20 // len(self._layout.columns))}

    def _batches(self, group: _Group, rows: int) -> Iterator[Any]:
        import pyarrow.parquet as pq

        with (
            reading(group.path, _EXPECTED),
            pq.ParquetFile(group.path, metadata=self._metadata[group.path], **self._reading) as file,
        ):
            # Nothing promises that the columns come in the order asked for, so select again.
            columns = self._layout.columns
            batches = file.iter_batches(rows, row_groups=[group.number], columns=columns, use_threads=False)
            yield from (batch.select(self._layout.columns) for batch in batches)

    def _rows(self, batch: Any, start: int, path: Path) -> np.ndarray:
        if self._layout.vector is None:
            return stack_scalars(batch, self._layout.dtype, start, path)
        return _stack_vectors(batch.column(0), self._layout, start, path)

    def _first_length(self) -> int:
        column = next(self._batches(self._groups[0], 1)).column(0)
        refuse_nulls(column, self._layout.columns[0], 0, self._groups[0].path)
        return len(column[0])


def from_parquet(path: Path, columns: Sequence[str] | None = None, exclude: Collection[str] = ()) -> ParquetSource:
    """Open a Parquet file or a folder of them; see `ParquetSource`."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise missing_extra("pyarrow", "Reading Parquet") from None
    return ParquetSource(path, columns, exclude)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.suffix in {".parquet", ".pq"} and p.is_file())
    if not files:
        raise DataError(f"The folder {path} holds no Parquet file; expected at least one *.parquet. Check the path.")
    return files


def _metadata(path: Path) -> Any:
    import pyarrow.parquet as pq

    with reading(path, _EXPECTED):
        return pq.read_metadata(path)


def _groups(metadata: dict[Path, Any], path: Path) -> list[_Group]:
    groups, start = [], 0
    for file, found in metadata.items():
        for number in range(found.num_row_groups):
            rows = found.row_group(number).num_rows
            groups.append(_Group(file, number, start, rows))
            start += rows
    if not start:
        raise DataError(f"{path} has 0 rows; expected at least 1. Check that it was written completely.")
    return [group for group in groups if group.rows]


def _layout(metadata: dict[Path, Any], columns: Sequence[str] | None, exclude: Collection[str]) -> _Layout:
    (first, found), *others = metadata.items()
    schema = found.schema.to_arrow_schema()
    names = [n for n in schema.names if not _PANDAS_INDEX.fullmatch(n)]
    if len(set(names)) < len(names):
        raise DataError(f"{first} has several columns of one name; expected unique names. Rename them.")
    kept = keep_columns(len(names), names, columns, exclude)
    chosen = names if kept is None else [names[i] for i in kept]
    fields = [schema.field(name) for name in chosen]
    for file, other in others:
        _check_same(first, fields, file, other.schema.to_arrow_schema())
    return _layout_of(fields, first)


def _check_same(first: Path, fields: list[Any], path: Path, schema: Any) -> None:
    different = [f.name for f in fields if f.name not in schema.names or schema.field(f.name).type != f.type]
    if different:
        raise DataError(
            f"{path} differs from {first} in the columns {different[:10]}; expected the same columns of the "
            "same types in all files of a folder. Write them alike, or choose others with columns=[...]."
        )


def _layout_of(fields: list[Any], path: Path) -> _Layout:
    names = [f.name for f in fields]
    vectors = [f for f in fields if _vector_type(f.type) is not None]
    if len(vectors) == len(fields) == 1:
        element, width = _vector_type(fields[0].type)  # type: ignore[misc]
        return _Layout(names, names[0], width, element)
    if vectors:
        raise DataError(
            f"{path} has vectors in column {vectors[0].name!r} and other columns beside it ({len(fields)} in "
            "all); expected one column of vectors, or numbers only. Choose with "
            f"columns=[{vectors[0].name!r}]."
        )
    wrong = [f for f in fields if _scalar_type(f.type) is None]
    if wrong:
        raise not_numeric([f.name for f in wrong], [f.type for f in wrong], str(path))
    return _Layout(names, None, len(names), np.result_type(*(_scalar_type(f.type) for f in fields)))


def _scalar_type(arrow_type: Any) -> np.dtype | None:
    import pyarrow as pa

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


def _stack_vectors(column: Any, layout: _Layout, start: int, path: Path) -> np.ndarray:
    """Return the vectors of a pyarrow array as the rows of a new array (b, f)."""
    refuse_nulls(column, layout.columns[0], start, path)
    values = _flat_values(column, layout.width)
    if values is None:
        raise DataError(
            f"{path}, column {layout.vector!r}: a vector at or after row {start} is not of length "
            f"{layout.width} like the first, or has missing elements; expected complete vectors of one "
            "length. Pad, cut or drop it."
        )
    return np.array(values, dtype=layout.dtype).reshape(len(column), layout.width)


def _flat_values(column: Any, width: int) -> np.ndarray | None:
    import pyarrow as pa

    if pa.types.is_fixed_size_binary(column.type):
        raw = np.frombuffer(column.buffers()[1], np.uint8)
        return raw[column.offset * width : (column.offset + len(column)) * width]
    lengths = column.value_lengths() if hasattr(column, "value_lengths") else None
    if lengths is not None and (lengths.to_numpy(zero_copy_only=False) != width).any():
        return None
    flat = column.flatten()
    return None if flat.null_count else flat.to_numpy(zero_copy_only=False)
