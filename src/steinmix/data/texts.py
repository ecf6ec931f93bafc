"""Columns of a file or a data frame as they are written there: categories and labels, which are no numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from ._common import ending, keep_columns, reading, require
from .columnar import files_of
from .csv import ENDINGS as CSV_ENDINGS
from .csv import csv_format, refuse_gaps
from .frames import frame_column, is_frame
from .ipc import ENDINGS as IPC_ENDINGS
from .parquet import ENDINGS as PARQUET_ENDINGS

__all__ = ["Coded", "canonical", "coded_arrow", "coded_columns", "column_names", "read_columns", "read_lines"]

_WHOLE = re.compile(r"-0|-?(0|[1-9]\d*)\.0+|-?\d(\.\d+)?e\+\d\d")
"""Whole numbers as Python (1.0) and Arrow (-0, 1e+15) write floats."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?")


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
    """Return named columns of a file or data frame as `canonical` text, "" where a value is missing; read once.

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
    table = read_columns(Path(X), list(dict.fromkeys(columns)))  # one that is named twice is read once
    return {name: coded_arrow(table.column(name)) for name in columns}


def canonical(text: str) -> str:
    """Return the one spelling of a value that files and frames of all kinds share.

    It depends on the value alone, not on the rows beside it: new rows may be few. So text is changed, too: ``1.0``
    becomes 1, any spelling of true and false small letters, a date at midnight the date.
    """
    if text.lower() in ("true", "false"):
        return text.lower()
    if _WHOLE.fullmatch(text) and float(text).is_integer():
        return str(int(float(text)))
    if found := _TIME.fullmatch(text):
        date, time, fraction = found.groups(default="")
        rest = f"{time}{fraction.rstrip('0')}".removesuffix(".")
        return date if rest == "00:00:00" else f"{date} {rest}"
    return text


def _coded(values: Sequence[Any]) -> Coded:
    texts = ["" if value is None or value != value else str(value) for value in values]
    place = {value: i for i, value in enumerate(dict.fromkeys(texts))}
    return _merged(list(place), np.array([place[text] for text in texts], np.int64))


def coded_arrow(column: Any) -> Coded:
    """Return a chunked array of pyarrow (n,) as `canonical` text, "" where a value is missing."""
    import pyarrow as pa

    array = column.cast(pa.string()).fill_null("").dictionary_encode().combine_chunks()
    found = array.dictionary.to_pylist()
    if pa.types.is_floating(column.type):
        found = ["" if text == "nan" else text for text in found]
    return _merged(found, array.indices.to_numpy())


def _merged(values: Sequence[str], codes: np.ndarray) -> Coded:
    """Sort the values in their canonical spelling, in which some may be the same."""
    texts = [canonical(value) for value in values]
    found = sorted(set(texts))
    place = {value: i for i, value in enumerate(found)}
    return Coded(found, np.array([place[text] for text in texts], np.int64)[codes])


def read_columns(path: Path, columns: Sequence[Any], empty_is_missing: bool = False) -> Any:
    """Return named columns of a CSV file, or of a file or folder of Parquet or Arrow, as a pyarrow table.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Positions if the file is a CSV file without a header.
    empty_is_missing : bool, default=False
        Whether an empty field of a CSV file is null, not "".

    Raises
    ------
    DataError
        If the file cannot be read.
    ConfigError
        If it has no such columns, or pyarrow is not installed.
    """
    listed = ", ".join(map(str, columns))
    require("pyarrow", f"Reading the columns {listed}")
    csv = ending(path) in CSV_ENDINGS and path.is_file()
    with reading(path, f"a file with the columns {listed}"):
        return _from_csv(path, columns, empty_is_missing) if csv else _from_tables(path, columns)


def read_lines(path: Path) -> Any:
    """Return every line of a CSV file of one column as text, the first one too, which may be a name.

    Raises
    ------
    DataError
        If the file cannot be read or has more columns.

    Returns
    -------
    pyarrow.ChunkedArray
        Null where a line is empty.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    form = csv_format(path)._replace(header=False)
    if len(form.first) != 1:
        raise DataError(f"{path} has {len(form.first)} columns; expected one, of labels. Write the labels alone.")
    with reading(path, "a CSV file of one column"):
        how = {"empty_lines": True, "strings_can_be_null": True}
        return form.opened(pc.read_csv, ["f0"], {"f0": pa.string()}, **how).column(0)


def column_names(path: Path) -> list[str]:
    """Return the names of the columns of a file of Parquet or Arrow.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, "a Parquet or Arrow file"):
        if ending(path) in PARQUET_ENDINGS:
            return pq.read_schema(path).names
        with pa.memory_map(str(path)) as mapped:
            return pa.ipc.open_file(mapped).schema.names


def _from_csv(path: Path, columns: Sequence[Any], empty_is_missing: bool) -> Any:
    """Read as text: what looks like a number in the first block may not go on so."""
    import pyarrow as pa
    import pyarrow.csv as pc

    form = csv_format(path)
    refuse_gaps(form)
    names = form.arrow_names(columns)
    return form.opened(pc.read_csv, names, dict.fromkeys(names, pa.string()), strings_can_be_null=empty_is_missing)


def _from_tables(path: Path, columns: Sequence[str]) -> Any:
    """Read the files of a folder in the order of their names, as the sources do."""
    import pyarrow as pa

    files = files_of(path, (*PARQUET_ENDINGS, *IPC_ENDINGS), "Parquet or Arrow")
    return pa.concat_tables(_from_table(file, columns) for file in files)


def _from_table(file: Path, columns: Sequence[str]) -> Any:
    import pyarrow.feather as pf
    import pyarrow.parquet as pq

    names = column_names(file)
    keep_columns(len(names), names, columns, ())  # refuses those it does not have
    if ending(file) in PARQUET_ENDINGS:
        return pq.ParquetFile(file).read(columns)
    return pf.read_table(file, columns=columns)
