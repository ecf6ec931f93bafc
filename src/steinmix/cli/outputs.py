"""Files and folders that appear whole or not at all: everything is written beside its place and renamed into it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol

import numpy as np

from .._files import new_file
from ..data.sources import require
from ..errors import ConfigError

__all__ = [
    "TABLES",
    "Table",
    "check_apart",
    "check_table",
    "check_target",
    "lies_in",
    "new_array",
    "new_table",
]


class Table(Protocol):
    """Takes the rows of a table piece by piece."""

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add rows: equally long arrays by column."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...


class _Parquet:
    """One row group for each piece."""

    def __init__(self, path: Path, n_rows: int) -> None:
        self._path, self._writer = path, None

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        piece = pa.table(dict(columns))
        if self._writer is None:
            self._writer: Any = pq.ParquetWriter(self._path, piece.schema)
        self._writer.write_table(piece)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Csv:
    """A header and one line a row; numbers are written so that they read back as they are."""

    def __init__(self, path: Path, n_rows: int) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._writer: Any = csv.writer(self._file, lineterminator="\n")
        self._headed = False

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        if not self._headed:
            self._writer.writerow(columns)
            self._headed = True
        self._writer.writerows(zip(*(values.tolist() for values in columns.values())))

    def close(self) -> None:
        self._file.close()


class _Npy:
    """A structured array with one field a column, mapped, so that memory does not grow with the rows."""

    def __init__(self, path: Path, n_rows: int) -> None:
        self._path, self._n_rows, self._filled = path, n_rows, 0
        self._array: Any = None

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        if self._array is None:
            fields = np.dtype([(name, values.dtype) for name, values in columns.items()])
            self._array = np.lib.format.open_memmap(self._path, "w+", dtype=fields, shape=(self._n_rows,))
        stop = self._filled + len(next(iter(columns.values())))
        for name, values in columns.items():
            self._array[name][self._filled : stop] = values
        self._filled = stop

    def close(self) -> None:
        if self._array is not None:
            self._array.flush()
            self._array = None


TABLES: dict[str, Callable[[Path, int], Table]] = {".csv": _Csv, ".npy": _Npy, ".parquet": _Parquet}


def check_table(path: Path, *inputs: Path) -> Path:
    """Return the path of a table if it can be written.

    Parameters
    ----------
    path : Path
    *inputs : Path
        Files that are to stay, and folders of files, which are to hold no others.

    Raises
    ------
    ConfigError
        If its kind is unknown, its package is missing, its folder is, or it would replace what is to stay or lie in it.
    """
    if path.suffix.lower() not in TABLES:
        raise ConfigError(f"got the output {path}; expected a file that ends in {', '.join(TABLES)}.")
    if path.suffix.lower() == ".parquet":
        require("pyarrow.parquet", "writing Parquet")
    _check_parent(path)
    if path.is_dir():
        raise ConfigError(f"the output {path} is a folder; expected a new file or one to replace.")
    if path.exists() and any(path.resolve() == given.resolve() for given in inputs):
        raise ConfigError(f"the output {path} would replace an input or a part of the run; choose another name.")
    check_apart(path, inputs)
    return path


def check_apart(path: Path, inputs: Iterable[Path]) -> None:
    """Raise ConfigError if an output lies in a folder of inputs: it would be read as one of them."""
    folder = next((given for given in inputs if given.is_dir() and lies_in(path, given)), None)
    if folder is not None:
        raise ConfigError(f"the output {path} lies in {folder}, whose files are read; choose a place outside.")


def lies_in(path: str | Path, folder: str | Path) -> bool:
    """Whether a path is a folder or lies in it, links followed."""
    return Path(path).resolve().is_relative_to(Path(folder).resolve())


@contextmanager
def new_table(path: Path, n_rows: int) -> Iterator[Table]:
    """Give a table to fill; its file appears at `path`, replacing an earlier one, when all went well.

    Parameters
    ----------
    path : Path
        Its ending names the kind: .parquet, .csv or .npy.
    n_rows : int
    """
    with new_file(path) as temporary:
        table = TABLES[path.suffix.lower()](temporary, n_rows)
        try:
            yield table
        finally:
            table.close()


def new_array(path: Path, n_rows: int, blocks: Iterable[np.ndarray]) -> None:
    """Write a plain ``.npy`` array (n, f) that is whole or not there, block by block (b, f)."""
    with new_file(path) as temporary, temporary.open("wb") as file:
        start = 0
        for block in blocks:
            if not start:
                form = {"descr": block.dtype.str, "fortran_order": False, "shape": (n_rows, block.shape[1])}
                np.lib.format.write_array_header_1_0(file, form)
            file.write(np.ascontiguousarray(block).data)
            start += len(block)


def check_target(folder: Path, mark: str, own: Collection[str] | None = None, overwrite: bool = True) -> None:
    """Raise ConfigError unless `folder` may be written: new, empty, or an earlier one that is to be replaced.

    Parameters
    ----------
    folder : Path
    mark : str
        The file that shows a folder to be an earlier one.
    own : collection of str, optional
        All files that an earlier one may hold, where everything in it goes.
    overwrite : bool
    """
    _check_parent(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / mark).is_file():
        kind = "holds other files" if folder.is_dir() else "is a file"
        raise ConfigError(f"the output {folder} {kind}; expected a new folder or one with a {mark}.")
    if not overwrite:
        raise ConfigError(f"the output {folder} is there already; choose another, or replace it with --overwrite.")
    if own is not None:
        _check_foreign(folder, own)


def _check_foreign(folder: Path, own: Collection[str]) -> None:
    """Raise ConfigError if `folder` holds a file, link or folder that would go with it and that no run wrote."""
    known = {folder / parent for name in own for parent in (name, *Path(name).parents)}
    if foreign := next((path for path in sorted(folder.rglob("*")) if path.is_symlink() or path not in known), None):
        raise ConfigError(
            f"the output {folder} holds {foreign.relative_to(folder)}, which no run wrote and --overwrite would "
            "remove; move it away, or choose another folder."
        )


def _check_parent(path: Path) -> None:
    parent = path.resolve().parent
    if not parent.is_dir():
        raise ConfigError(f"the folder of the output {path} is not there; make it first.")
    try:
        TemporaryFile(dir=parent).close()  # os.access allows all to root, also what no one can write to, as /proc
    except OSError:
        raise ConfigError(f"the folder of the output {path} may not be written to; choose another.") from None
