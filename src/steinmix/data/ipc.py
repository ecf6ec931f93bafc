"""Arrow IPC (Feather) files as sources: mapped, and decoded one record batch at a time, in any order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._common import reading, require
from .columnar import ColumnarSource, Group, files_of, groups_of

__all__ = ["ENDINGS", "IpcSource"]

ENDINGS = (".arrow", ".feather", ".ipc")
_EXPECTED = "an Arrow IPC file (Feather version 2), not a stream"


class IpcSource(ColumnarSource):
    """Rows of one Arrow IPC file, or of all such files of a folder in the order of their names.

    The file is mapped: what is not compressed is decoded without a copy, piece by piece. Of a compressed one a record
    batch is held whole.

    Parameters
    ----------
    path : Path
    columns : sequence of str or None
        Columns to serve, in this order; see `steinmix.data.layout`.
    exclude : collection of str
        Columns to leave out.

    Raises
    ------
    DataError
        If there is no such file, it is damaged, empty, or a stream, or columns are not numbers.
    ConfigError
        If pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, exclude: Collection[str] = ()) -> None:
        require("pyarrow.ipc", "Reading Arrow IPC")
        schemas, counts = {}, {}
        for file in files_of(path, ENDINGS, "Arrow IPC"):
            with _opened(file) as reader:
                schemas[file] = reader.schema
                counts[file] = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
        super().__init__(path, schemas, groups_of(counts, path), columns, exclude, "arrow")

    def _batches(self, group: Group, rows: int) -> Iterator[Any]:
        with _opened(group.path, self._layout.columns) as reader:
            batch = reader.get_batch(group.number).select(self._layout.columns)
            yield from (batch.slice(start, rows) for start in range(0, len(batch), rows))


@contextmanager
def _opened(path: Path, columns: Sequence[str] | None = None) -> Iterator[Any]:
    """Give a reader of the file that decodes the columns named, or all."""
    import pyarrow as pa

    with reading(path, _EXPECTED), pa.memory_map(str(path)) as mapped:
        reader = pa.ipc.open_file(mapped)
        if columns is not None:
            included = [reader.schema.get_field_index(name) for name in columns]
            reader = pa.ipc.open_file(mapped, options=pa.ipc.IpcReadOptions(included_fields=sorted(included)))
        yield reader
