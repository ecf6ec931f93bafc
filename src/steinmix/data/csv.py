"""CSV files as sources: parsed block by block with pyarrow."""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Collection, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, NamesWarning
from ._common import keep_columns, missing_extra, not_numeric, reading
from .streams import StreamedSource, stack_scalars

__all__ = ["CsvSource", "from_csv"]

_EXPECTED = "a CSV file with one line of column names and the same number of fields in every line"
_BLOCK_BYTES = 4 * 2**20


class CsvSource(StreamedSource):
    """Rows of a ``.csv`` or ``.csv.gz`` file, as float64.

    Opening it parses the file once, to count its rows and to find what is not a number; memory holds one
    block. With `rng`, `blocks` shuffles only inside about 4 MiB of text: a CSV file has no index. Write a
    sorted file as Parquet, or shuffle its lines. The first line holds the names, unless all its fields are
    numbers (other than the column numbers 0, 1, 2, ..., which are names): then the file has no header.

    Parameters
    ----------
    path : Path
    columns : sequence of str or None
        Columns to serve, in this order; positions if the file has no header.
    exclude : collection of str
        Columns to leave out.

    Raises
    ------
    DataError
        If there is no such file, it is damaged or empty, values are missing, or columns are not numbers.
    ConfigError
        If pyarrow is not installed.

    Warns
    -----
    NamesWarning
        If numbers that are not whole stand among the names: they may be a row.
    """

    def __init__(self, path: Path, columns: Sequence[Any] | None = None, exclude: Collection[Any] = ()) -> None:
        first = _first_line(path)
        self._header = not all(map(_is_number, first)) or first == [str(i) for i in range(len(first))]
        kept = keep_columns(len(first), first if self._header else None, columns, exclude)
        positions = list(range(len(first))) if kept is None else kept
        # Without a header pyarrow calls the columns f0, f1, ...
        self._columns = [first[i] if self._header else f"f{i}" for i in positions]
        if self._header:
            _check_names(self._columns, first, path)
        self._types = self._inferred_types(path)
        super().__init__(path, 0, len(positions), np.float64, self._columns if self._header else None, "csv")
        self.n_rows = sum(len(piece) for _, piece in self._pieces(None, None))
        if not self.n_rows:
            raise DataError(f"{path} has 0 rows; expected at least 1 below the names. Check that it was written.")

    def _inferred_types(self, path: Path) -> dict[str, Any]:
        """Read every number as float64: a column that begins with whole numbers may go on otherwise."""
        import pyarrow as pa

        with reading(path, _EXPECTED), self._open(path, None) as reader:
            schema = reader.schema
        wrong = [f for f in schema if not _is_numeric(f.type)]
        if wrong:
            raise not_numeric([f.name for f in wrong], [f.type for f in wrong], str(path))
        return {f.name: f.type if pa.types.is_boolean(f.type) else pa.float64() for f in schema}

    def _open(self, path: Path, types: dict[str, Any] | None) -> Any:
        import pyarrow.csv as pc

        read = pc.ReadOptions(block_size=_BLOCK_BYTES, autogenerate_column_names=not self._header)
        convert = pc.ConvertOptions(include_columns=self._columns, column_types=types)
        return pc.open_csv(str(path), read_options=read, convert_options=convert)

    def _pieces(self, rng: np.random.Generator | None, wanted: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
        start = 0
        with reading(self.path, _EXPECTED), self._open(self.path, self._types) as reader:
            for batch in reader:
                if wanted is not None and start > wanted[-1:].max(initial=-1):
                    return
                yield start, stack_scalars(batch, self.dtype, start, self.path)
                start += batch.num_rows


def from_csv(path: Path, columns: Sequence[Any] | None = None, exclude: Collection[Any] = ()) -> CsvSource:
    """Open a CSV file; see `CsvSource`."""
    try:
        import pyarrow.csv  # noqa: F401
    except ImportError:
        raise missing_extra("pyarrow", "Reading CSV") from None
    return CsvSource(path, columns, exclude)


def _first_line(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with reading(path, _EXPECTED), opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        line = next(csv.reader(file), None)
    if not line:
        raise DataError(f"{path} is empty; expected {_EXPECTED}. Check that it was written completely.")
    return line


def _check_names(chosen: list[str], names: list[str], path: Path) -> None:
    if len(set(names)) < len(names):
        text = "expected unique names in its first line. Rename them, or put names above the rows if there are none"
        raise DataError(f"{path} has several columns of one name; {text}.")
    if "" in chosen and len(chosen) > 1:
        raise DataError(
            f"{path} has a column without a name, often a row index; expected a name for each column. "
            "Leave it out with exclude=[''], or name it."
        )
    numbers = [name for name in names if _is_number(name) and isfinite(float(name)) and not name.strip().isdigit()]
    if numbers:
        text = f"{path} has numbers such as {numbers[0]!r} in its first line, which was read as names; if it is a row,"
        warnings.warn(f"{text} write a line of names above it.", NamesWarning, stacklevel=5)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_numeric(arrow_type: Any) -> bool:
    import pyarrow as pa

    known = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null
    return any(is_(arrow_type) for is_ in known)
