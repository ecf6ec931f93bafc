"""CSV files as sources: parsed block by block with pyarrow."""

from __future__ import annotations

import csv
import gzip
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import dropwhile, islice, pairwise
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, NamesWarning
from ._common import both_forms, ending, keep_columns, not_numeric, not_utf8, reading, require
from .streams import StreamedSource, missing_value, stack_scalars

__all__ = ["ENDINGS", "CsvFormat", "CsvSource", "csv_format", "is_number", "refuse_gaps"]

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_EXPECTED = "a CSV file with one line of column names and the same number of fields in every line"
_BLOCK_BYTES = 4 * 2**20
_SEPARATORS = ",;\t|"
_HEAD_LINES = 20
_COMMA_NUMBER = re.compile(r"\s*[-+]?\d*,\d+(,\d+)*(\.\d*)?(e[-+]?\d+)?\s*", re.IGNORECASE)

_TELLS = re.compile(r"sep=([ !#-~\t])[\r\n]*", re.IGNORECASE)
_WHOLE = re.compile(r"\s*-?\d{1,18}\s*")


class CsvFormat(NamedTuple):
    """How a CSV file is written, as its first two lines that are not empty show.

    Attributes
    ----------
    path : Path
    first : list of str
        Fields of the first line.
    header : bool
        Whether they are names; see `CsvSource`.
    separator : str
        The one of comma, semicolon, tab and bar that gives both lines equally many fields, or what ``sep=;`` says.
    skipped : int
        Lines above those two: 1 where ``sep=;`` stands there, as Excel writes it.
    """

    path: Path
    first: list[str]
    header: bool
    separator: str
    skipped: int = 0

    def arrow_names(self, columns: Sequence[Any] | None, exclude: Collection[Any] = ()) -> list[str]:
        """Return what pyarrow calls the columns to keep: their names, or f0, f1, ... where the file has none."""
        if self.header:
            _refuse_doubled(self.first, self.path)
        kept = keep_columns(len(self.first), self.first if self.header else None, columns, exclude)
        positions = range(len(self.first)) if kept is None else kept
        return [self.first[i] if self.header else f"f{i}" for i in positions]

    def opened(self, reader: Any, columns: list[str], types: Any, empty_lines: bool = False, **convert: Any) -> Any:
        """Call `reader`, a function of pyarrow.csv, on columns that are named as by `arrow_names`."""
        import pyarrow as pa
        import pyarrow.csv as pc

        # pyarrow tells a gzipped file by small letters only.
        stream = pa.input_stream(str(self.path), compression="gzip" if _is_gzip(self.path) else None)
        return reader(
            stream,
            read_options=pc.ReadOptions(
                block_size=_BLOCK_BYTES, skip_rows=self.skipped, autogenerate_column_names=not self.header
            ),
            parse_options=pc.ParseOptions(delimiter=self.separator, ignore_empty_lines=not empty_lines),
            convert_options=pc.ConvertOptions(include_columns=columns, column_types=types, **convert),
        )


class CsvSource(StreamedSource):
    """Rows of a ``.csv`` or ``.tsv`` file, also gzipped, as float64; fields end at commas, semicolons, tabs or bars.

    Opening it parses the file once, to count its rows and to find what is not a number; memory holds one
    block. With `rng`, `blocks` shuffles only inside about 4 MiB of text: a CSV file has no index. Write a
    sorted file as Parquet, or shuffle its lines. The first line holds the names, unless all its fields are
    numbers or missing: then the file has no header. The numbers of the columns, 0, 1, 2, ... as pandas writes them or
    1, 2, ... (of two columns or more), are names nevertheless, and so are three or more whole numbers in equal steps
    (years, wavelengths) above a line that is not so.

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
        If numbers that are not whole stand among the names, or all of them are numbers: they may be a row.
    """

    def __init__(self, path: Path, columns: Sequence[Any] | None = None, exclude: Collection[Any] = ()) -> None:
        require("pyarrow.csv", "Reading CSV")
        self._format = csv_format(path)
        self._columns = self._format.arrow_names(columns, exclude)
        if self._format.header:
            _check_names(self._columns, self._format.first, path)
        refuse_gaps(self._format)
        self._types = self._inferred_types(path)
        names = self._columns if self._format.header else None
        super().__init__(path, 0, len(self._columns), np.float64, names, "csv")
        self.n_rows = sum(len(piece) for _, piece in self._pieces(None, None))
        if not self.n_rows:
            raise DataError(f"{path} has 0 rows; expected at least 1 below the names. Check that it was written.")

    def _inferred_types(self, path: Path) -> dict[str, Any]:
        """Read every number as float64: a column that begins with whole numbers may go on otherwise."""
        import pyarrow as pa

        with reading(path, _EXPECTED), self._open(None) as reader:
            schema = reader.schema
            wrong = [f for f in schema if not _is_numeric(f.type)]
            if wrong:
                self._refuse_text(wrong, reader.read_next_batch())
        return {f.name: f.type if pa.types.is_boolean(f.type) else pa.float64() for f in schema}

    def _called(self, name: str) -> Any:
        """Return what the caller knows a column by that pyarrow calls `name`."""
        return name if self._format.header else int(name[1:])

    def _refuse_text(self, wrong: list[Any], batch: Any) -> None:
        """Raise for columns `wrong` of text: name the columns, or the one cell at fault in a column of numbers."""
        self._refuse_commas(batch)
        if text := [f for f in wrong if not _mostly_numbers(batch.column(f.name).to_pylist())]:
            raise not_numeric([self._called(f.name) for f in text], [f.type for f in text], str(self._format.path))
        self._refuse_cell([f.name for f in wrong])

    def _refuse_cell(self, columns: list[str]) -> None:
        """Raise for the first cell of `columns` that is neither a number nor missing."""
        import pyarrow as pa
        import pyarrow.csv as pc

        start, types = 0, dict.fromkeys(columns, pa.binary())
        with self._format.opened(pc.open_csv, columns, types, strings_can_be_null=True) as reader:
            for batch in reader:
                for row, cells in enumerate(zip(*(column.to_pylist() for column in batch.columns)), start):
                    for name, cell in zip(columns, map(_decoded, cells)):
                        if cell is not None and not is_number(cell):
                            raise _no_number(self._format.path, row, self._called(name), cell)
                start += batch.num_rows

    def _refuse_commas(self, batch: Any) -> None:
        """Raise if a column would be one of numbers but for the commas in them."""
        for name, column in zip(batch.schema.names, batch.columns):
            texts = [str(value) for value in column.to_pylist() if value is not None]
            found = next(filter(_COMMA_NUMBER.fullmatch, texts), None)
            if found is not None and _are_meant_as_numbers(texts):
                raise DataError(
                    f"{self._format.path} has numbers with a comma, such as {found!r} in column "
                    f"{self._called(name)!r}; expected decimal points, and nothing between thousands. Write it so."
                )

    def _open(self, types: dict[str, Any] | None) -> Any:
        import pyarrow.csv as pc

        return self._format.opened(pc.open_csv, self._columns, types)

    def _pieces(self, rng: np.random.Generator | None, wanted: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
        start = 0
        with reading(self.path, _EXPECTED), self._open(self._types) as reader:
            for batch in self._batches(reader):
                if wanted is not None and start > wanted[-1:].max(initial=-1):
                    return
                names = [self._called(name) for name in batch.schema.names]
                yield start, stack_scalars(batch, self.dtype, start, self.path, names)
                start += batch.num_rows

    def _batches(self, reader: Any) -> Iterator[Any]:
        """Yield what `reader` does; a cell below its first block that is no number is named."""
        import pyarrow as pa

        try:
            yield from reader
        except pa.ArrowInvalid:
            self._refuse_cell([name for name, kind in self._types.items() if pa.types.is_floating(kind)])
            raise


def csv_format(path: Path) -> CsvFormat:
    """Return how a CSV file is written.

    Raises
    ------
    DataError
        If there is no such file, or it is damaged or empty.
    """
    with reading(path, _EXPECTED), _text(path) as file:
        lines = list(islice(file, _HEAD_LINES))
        told = _TELLS.fullmatch(lines[0]) if lines else None
        lines = lines[1:] if told else lines
        separator = told[1] if told else _separator(lines, ending(path).startswith(".tsv"))
        first = next(csv.reader(lines, delimiter=separator), None)
    if not first:
        raise DataError(f"{path} is empty; expected {_EXPECTED}. Check that it was written completely.")
    if any("\0" in line for line in lines):  # text of two bytes a letter that does not say so
        raise not_utf8(path, _EXPECTED)
    records = _records(lines, separator)
    _refuse_title(records, path)
    return CsvFormat(path, first, _are_names(*records), separator, int(told is not None))


def refuse_gaps(form: CsvFormat) -> None:
    """Raise for an empty line between the rows of one column: it is a missing value, and pyarrow passes over it.

    Raises
    ------
    DataError
        If there is one; empty lines at the end are none.
    """
    if len(form.first) > 1:
        return
    gap = None
    with reading(form.path, _EXPECTED), _text(form.path) as file:
        file = islice(file, form.skipped, None)
        for row, record in enumerate(csv.reader(file), -1 if form.header else 0):
            if gap is not None and record:
                raise missing_value(form.path, gap, form.first[0] if form.header else 0)
            gap = row if gap is None and not record else gap


@contextmanager
def _text(path: Path) -> Iterator[Iterator[str]]:
    """Give the lines of a file from the first that is not empty."""
    opener = gzip.open if _is_gzip(path) else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield dropwhile(lambda line: not line.strip("\r\n"), file)


def _separator(lines: list[str], tabs: bool) -> str:
    """Return what gives the first two records equally many fields; else the most frequent in the first, or a tab.

    Of several that do, it is the tab if it is expected, one that leaves numbers, or the most frequent.
    """
    found = {separator: _records(lines, separator) for separator in _SEPARATORS}
    widths = {separator: {len(record) for record in records} for separator, records in found.items()}
    alike = [separator for separator, several in widths.items() if len(several) == 1 and max(several) > 1]
    if not alike:
        return "\t" if tabs else max(found, key=lambda s: len(next(iter(found[s]), ())))
    return max(alike, key=lambda s: (tabs and s == "\t", _are_meant_as_numbers(found[s][-1]), max(widths[s])))


def _are_meant_as_numbers(fields: list[str]) -> bool:
    return all(is_number(field) or _COMMA_NUMBER.fullmatch(field) for field in fields)


def _records(lines: list[str], separator: str) -> list[list[str]]:
    """Return the first two records, as far as they can be read."""
    records: list[list[str]] = []
    with suppress(csv.Error):  # too long a field: it ends at another separator
        for record in islice(filter(None, csv.reader(lines, delimiter=separator)), 2):
            records.append(record)
    return records


def _is_gzip(path: Path) -> bool:
    return ending(path).endswith(".gz")


def _are_names(first: list[str], second: Sequence[str] = ()) -> bool:
    """Whether the first line is no row: one of numbers and missing values, unless they count or go in equal steps."""
    fields, below = ((line[1:] if first[0] == "" else line) for line in (first, second))  # pandas' index has no name
    steps = len(below) > 0 and _in_equal_steps(fields) and not _in_equal_steps(below)
    return steps or _count_columns(fields) or not any(first) or not all(text == "" or is_number(text) for text in first)


def _in_equal_steps(fields: Sequence[str]) -> bool:
    """Whether fields are three or more whole numbers as far from each other, such as years."""
    if len(fields) < 3 or not all(map(_WHOLE.fullmatch, fields)):
        return False
    steps = {int(after) - int(before) for before, after in pairwise(fields)}
    return len(steps) == 1 and steps != {0}


def _count_columns(names: Sequence[str]) -> bool:
    n = len(names)
    return list(names) in [[str(i + start) for i in range(n)] for start in ((0, 1) if n > 1 else (0,))]


def _refuse_title(records: list[list[str]], path: Path) -> None:
    if len(records) == 2 and len(records[0]) == 1 < len(records[1]):
        raise DataError(
            f"{path} has one field in its first line ({records[0][0][:40]!r}) and {len(records[1])} in the next; "
            f"expected {_EXPECTED}. Remove the first line if it is a title or a comment."
        )


def _refuse_doubled(names: list[str], path: Path) -> None:
    doubled = [name for name, times in Counter(names).items() if times > 1]
    if doubled == [""]:
        raise DataError(
            f"{path} has several columns without a name; expected names in its first line, which looks like a title "
            f"({', '.join(filter(None, names))[:40]!r}). Remove it if it is one, or name every column."
        )
    if doubled:
        text = "expected unique names in its first line. Rename them, or put names above the rows if there are none"
        raise DataError(f"{path} has several columns of one name, {', '.join(map(repr, doubled[:5]))}; {text}.")


def _check_names(chosen: list[str], names: list[str], path: Path) -> None:
    if "" in chosen and len(chosen) > 1:
        raise DataError(
            f"{path} has a column without a name, often a row index; expected a name for each column. "
            f"Leave it out with {both_forms('exclude', [''])}, or name it."
        )
    odd = [name for name in names if is_number(name) and isfinite(float(name)) and not name.strip().isdigit()]
    if numbers := odd or (names if all(map(is_number, names)) else []):
        text = f"{path} has numbers such as {numbers[0]!r} in its first line, which was read as names; if it is a row,"
        warnings.warn(f"{text} write a line of names above it.", NamesWarning, stacklevel=5)  # whoever calls as_source


def is_number(text: str) -> bool:
    """Whether a field holds a number."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # 1_1 is a number in Python's source only


def _decoded(cell: Any) -> Any:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else cell


def _mostly_numbers(cells: list[Any]) -> bool:
    """Whether at least half of the cells of a column of text are numbers or missing, and some are numbers."""
    import pyarrow.csv as pc

    missing = {None, *pc.ConvertOptions().null_values}
    numbers = [is_number(str(cell)) for cell in map(_decoded, cells) if cell not in missing]
    return any(numbers) and 2 * numbers.count(False) <= len(cells)


def _no_number(path: Path, row: int, name: Any, cell: str) -> DataError:
    return DataError(
        f"{path} has no number in row {row}, column {name!r}, but {cell[:40]!r}; expected a number. Correct the row or "
        f"drop it (a line of totals, say), or leave the column out with {both_forms('exclude', [name])}."
    )


def _is_numeric(arrow_type: Any) -> bool:
    import pyarrow as pa

    known = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null
    return any(is_(arrow_type) for is_ in known)
