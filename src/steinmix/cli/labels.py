"""Reading labels: a column of a file of rows, or a file of its own. Only what scores calls this."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.parquet import ENDINGS as PARQUET
from ..data.sources import as_source
from ..data.texts import read_columns
from ..errors import ConfigError, DataError

__all__ = ["is_label_file", "read_label_column", "read_label_file"]

_FILES = (".npy", ".csv", ".csv.gz", ".parquet", ".pq")


def is_label_file(word: str) -> bool:
    """Whether --labels names a file, not a column: it has the ending of a file of data and is there."""
    return word.lower().endswith(_FILES) and Path(word).is_file()


def read_label_file(path: Path) -> np.ndarray:
    """Return the labels (n,) of a ``.npy`` array (n,), or of a CSV or Parquet file of one column.

    Raises
    ------
    DataError
        If the file holds something else.
    """
    if path.suffix == ".npy":
        try:
            labels = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read ({error}); expected a .npy file of labels.") from error
        if labels.ndim != 1:
            raise DataError(f"{path} has shape {labels.shape}; expected one label a row, (n,).")
        return labels
    names = _column_names(path)
    if len(names) != 1:
        raise DataError(f"{path} has {len(names)} columns; expected one, of labels.")
    return read_label_column(path, names[0], named=True)


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
    if not named:
        source = as_source(path, columns=[int(column)])
        return _plain(np.concatenate([rows[:, 0] for _, rows in source.blocks(65_536)]))
    found = read_columns(path, [column], empty_is_missing=True).column(column)
    if found.null_count:
        raise DataError(
            f"{found.null_count} labels in column {column!r} of {path} are missing; expected one for each row."
        )
    return _plain(found.to_numpy())


def _column_names(path: Path) -> Sequence[str]:
    try:
        if path.suffix in PARQUET:
            import pyarrow.parquet as pq

            return pq.read_schema(path).names
        import pyarrow.csv as pc

        with pc.open_csv(str(path)) as reader:
            return reader.schema.names
    except ImportError:
        raise ConfigError('labels in a table need pyarrow; do: pip install "steinmix[data]"') from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); expected a file of labels.") from error


def _plain(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind not in "OUf":
        return labels
    try:
        numbers = labels.astype(np.float64)
    except (TypeError, ValueError):
        return labels.astype(str)
    whole = bool((numbers == np.round(numbers)).all())
    return numbers.astype(np.int64) if whole else labels
