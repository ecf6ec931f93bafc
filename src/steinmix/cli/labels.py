"""Reading labels: a column of a file of rows, or a file of its own. Only what scores calls this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data.csv import ENDINGS as CSV
from ..data.csv import is_number
from ..data.parquet import ENDINGS as PARQUET
from ..data.sources import as_source, ending, require
from ..data.texts import column_names, read_columns, read_lines
from ..errors import DataError

__all__ = ["is_label_file", "names_file", "read_label_column", "read_label_file"]

_FILES = (".npy", *CSV, *PARQUET)


def is_label_file(word: str) -> bool:
    """Whether --labels names a file, not a column: it has the ending of a file of data and is there."""
    return names_file(word) and Path(word).is_file()


def names_file(word: str) -> bool:
    """Whether --labels has the ending of a file of labels, there or not."""
    return ending(Path(word)) in _FILES


def read_label_file(path: Path, n_rows: int) -> np.ndarray:
    """Return the labels (n,) of a ``.npy`` array (n,), or of a CSV or Parquet file of one column.

    Parameters
    ----------
    path : Path
    n_rows : int
        Rows of the data. The first line of a CSV file is a name if there is one line more, else a label. If it looks
        like a name nevertheless, a label is missing.

    Raises
    ------
    DataError
        If the file holds something else.
    ConfigError
        If pyarrow is missing for a table.
    """
    if ending(path) == ".npy":
        return _array(path)
    require("pyarrow.parquet", "Reading labels from a table")
    column = _lines(path, n_rows) if ending(path) in CSV else _only_column(path)
    return _complete(column, f"of {path}")


def read_label_column(path: Path, column: str, named: bool) -> np.ndarray:
    """Return one column of a file of rows as labels (n,): whole numbers where all are, else text.

    Parameters
    ----------
    path : Path
        A file, or a folder of Parquet or Arrow files.
    column : str
        Its name; its position if not `named`.
    named : bool
    """
    if ending(path) == ".npy":
        source = as_source(path, columns=[int(column)])
        return _plain(np.concatenate([rows[:, 0] for _, rows in source.blocks(65_536)]))
    found = read_columns(path, [column if named else int(column)], empty_is_missing=True)
    return _complete(found.column(0), f"in column {column!r} of {path}")


def _array(path: Path) -> np.ndarray:
    try:
        labels = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read ({error}); expected a .npy file of labels.") from error
    if labels.ndim != 1:
        raise DataError(f"{path} has shape {labels.shape}; expected one label a row, (n,).")
    return labels


def _lines(path: Path, n_rows: int) -> Any:
    lines = read_lines(path)
    if len(lines) != n_rows:
        return lines[1:] if len(lines) == n_rows + 1 else lines
    if not lines.null_count and _begins_with_name(lines):
        raise DataError(
            f"got {n_rows - 1} labels from {path} below the name {lines[0].as_py()!r} for {n_rows} rows; expected one "
            "label a row. If the first line is a label, write a line with a name above it."
        )
    return lines


def _begins_with_name(lines: Any) -> bool:
    """Whether the first line is no label: text above numbers, or its value comes once and each other one more often."""
    first = lines[0].as_py()
    counts = {each["values"]: each["counts"] for each in lines.value_counts().to_pylist()}
    if is_number(first) or counts.pop(first) > 1 or not counts:
        return False
    return min(counts.values()) > 1 or all(map(is_number, counts))


def _only_column(path: Path) -> Any:
    names = column_names(path)
    if len(names) != 1:
        raise DataError(f"{path} has {len(names)} columns; expected one, of labels. Write the labels alone.")
    return read_columns(path, names).column(0)


def _complete(column: Any, where: str) -> np.ndarray:
    if column.null_count:
        raise DataError(f"{column.null_count} labels {where} are missing; expected one for each row. Fill them.")
    return _plain(column.to_numpy())


def _plain(labels: np.ndarray) -> np.ndarray:
    """Return whole numbers, unless they would merge labels that differ, as 1 and 01 do; true and false are 1 and 0."""
    if labels.dtype.kind not in "OUf":
        return labels
    given = labels if labels.dtype.kind == "f" else labels.astype(str)
    if given.dtype.kind == "U" and set(lower := np.char.lower(given)) == {"true", "false"}:
        return (lower == "true").astype(np.int64)
    try:
        numbers = given.astype(np.float64)
    except ValueError:
        return given
    with np.errstate(invalid="ignore"):  # too large for int64, or not finite: then the two differ
        whole = numbers.astype(np.int64)
    same = np.array_equal(whole, numbers) and len(np.unique(whole)) == len(np.unique(given))
    return whole if same else given
