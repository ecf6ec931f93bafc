"""Columns of a file or a data frame as they are written there: categories and labels, which are no numbers."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError
from ._common import missing_extra, reading
from .columnar import files_of
from .frames import frame_column, is_frame
from .ipc import ENDINGS as IPC_ENDINGS
from .parquet import ENDINGS as PARQUET_ENDINGS

__all__ = ["Coded", "coded_arrow", "coded_columns", "read_columns"]


class Coded(NamedTuple):
    """A column of text.

    Attributes
    ----------
    values : list of str
        The different ones, in order.
    codes : ndarray of int (n,)
        Of each row, the number of its value.
    """

    values: list[str]
    codes: np.ndarray


def coded_columns(X: Any, columns: Collection[str]) -> dict[str, Coded]:
    """Return named columns of a file or data frame as text, "" where a value is missing; a file is read once.

    Raises
    ------
    DataError
        If the file cannot be read.
    ConfigError
        If there is no such column, or the data have no names.
    """
    if is_frame(X):
        return {name: _coded(frame_column(X, name)) for name in columns}
    if not isinstance(X, str | os.PathLike):
        raise ConfigError(f"Got categories {list(columns)} for a {type(X).__name__}; expected a file or a data frame.")
    table = read_columns(Path(X), list(columns))
    return {name: coded_arrow(table.column(name)) for name in columns}


def _coded(values: Sequence[Any]) -> Coded:
    texts = ["" if value is None or value != value else str(value) for value in values]
    found = sorted(set(texts))
    place = {value: i for i, value in enumerate(found)}
    return Coded(found, np.array([place[text] for text in texts], np.int64))


def coded_arrow(column: Any) -> Coded:
    """Return a chunked array of pyarrow (n,) as text, "" where a value is missing."""
    import pyarrow as pa

    array = column.cast(pa.string()).fill_null("").dictionary_encode().combine_chunks()
    found = array.dictionary.to_pylist()
    values = sorted(found)
    place = {value: i for i, value in enumerate(values)}
    return Coded(values, np.array([place[value] for value in found], np.int64)[array.indices.to_numpy()])


def read_columns(path: Path, columns: Sequence[str], empty_is_missing: bool = False) -> Any:
    """Return named columns of a CSV file, or of a file or folder of Parquet or Arrow, as a pyarrow table.

    Parameters
    ----------
    path : Path
    columns : sequence of str
    empty_is_missing : bool, default=False
        Whether an empty field of a CSV file is null, not "".

    Raises
    ------
    DataError
        If the file cannot be read or has no such columns.
    ConfigError
        If pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise missing_extra("pyarrow", f"Reading the columns {', '.join(columns)}") from None
    csv = ".csv" in path.name.lower() and path.is_file()
    with reading(path, f"a file with the columns {', '.join(columns)}"):
        return _from_csv(path, columns, empty_is_missing) if csv else _from_tables(path, columns)


def _from_csv(path: Path, columns: Sequence[str], empty_is_missing: bool) -> Any:
    """Read as text: what looks like a number in the first block may not go on so."""
    import pyarrow as pa
    import pyarrow.csv as pc

    texts = dict.fromkeys(columns, pa.string())
    convert = pc.ConvertOptions(include_columns=columns, column_types=texts, strings_can_be_null=empty_is_missing)
    return pc.read_csv(str(path), convert_options=convert)


def _from_tables(path: Path, columns: Sequence[str]) -> Any:
    """Read the files of a folder in the order of their names, as the sources do."""
    import pyarrow as pa
    import pyarrow.feather as pf
    import pyarrow.parquet as pq

    return pa.concat_tables(
        pq.ParquetFile(file).read(columns) if file.suffix in PARQUET_ENDINGS else pf.read_table(file, columns=columns)
        for file in _tables(path)
    )


def _tables(path: Path) -> Sequence[Path]:
    held: Collection[str] = {p.suffix for p in path.rglob("*")} if path.is_dir() else {path.suffix}
    parquet = bool(held & set(PARQUET_ENDINGS))
    return files_of(path, PARQUET_ENDINGS if parquet else IPC_ENDINGS, "Parquet" if parquet else "Arrow")
