"""One column of a file or a data frame as it is written there: categories and labels, which are no numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ._common import missing_extra, reading
from .columnar import files_of
from .frames import frame_column, is_frame
from .ipc import ENDINGS as IPC_ENDINGS
from .parquet import ENDINGS as PARQUET_ENDINGS

__all__ = ["column_texts", "read_column"]


def column_texts(X: Any, column: str) -> list[str]:
    """Return the values (n,) of a named column of a file or data frame as text, "" where one is missing.

    Raises
    ------
    DataError
        If the file cannot be read.
    ConfigError
        If there is no such column, or the data have no names.
    """
    if is_frame(X):
        return ["" if value is None or value != value else str(value) for value in frame_column(X, column)]
    if not isinstance(X, str | Path):
        raise ConfigError(f"Got categories {column!r} for a {type(X).__name__}; expected a file or a data frame.")
    import pyarrow as pa

    return read_column(Path(X), column).cast(pa.string()).fill_null("").to_pylist()


def read_column(path: Path, column: str, empty_is_missing: bool = False) -> Any:
    """Return a named column of a CSV file, or of a file or folder of Parquet or Arrow, as a pyarrow array.

    Parameters
    ----------
    path : Path
    column : str
    empty_is_missing : bool, default=False
        Whether an empty field of a CSV file is null, not "".

    Raises
    ------
    DataError
        If the file cannot be read or has no such column.
    ConfigError
        If pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise missing_extra("pyarrow", f"Reading the column {column!r}") from None
    csv = ".csv" in path.name.lower() and path.is_file()
    with reading(path, f"a file with a column {column!r}"):
        return _from_csv(path, column, empty_is_missing) if csv else _from_tables(path, column)


def _from_csv(path: Path, column: str, empty_is_missing: bool) -> Any:
    """Read as text: what looks like a number in the first block may not go on so."""
    import pyarrow as pa
    import pyarrow.csv as pc

    convert = pc.ConvertOptions(
        include_columns=[column], column_types={column: pa.string()}, strings_can_be_null=empty_is_missing
    )
    return pc.read_csv(str(path), convert_options=convert).column(column)


def _from_tables(path: Path, column: str) -> Any:
    """Read the files of a folder in the order of their names, as the sources do."""
    import pyarrow as pa
    import pyarrow.feather as pf
    import pyarrow.parquet as pq

    chunks = []
    for file in _tables(path):
        if file.suffix in PARQUET_ENDINGS:
            chunks += pq.ParquetFile(file).read([column]).column(column).chunks
        else:
            chunks += pf.read_table(file, columns=[column]).column(column).chunks
    found = pa.chunked_array(chunks)
    return found.cast(found.type.value_type) if pa.types.is_dictionary(found.type) else found


def _tables(path: Path) -> Sequence[Path]:
    held: Collection[str] = {p.suffix for p in path.rglob("*")} if path.is_dir() else {path.suffix}
    parquet = bool(held & set(PARQUET_ENDINGS))
    return files_of(path, PARQUET_ENDINGS if parquet else IPC_ENDINGS, "Parquet" if parquet else "Arrow")
