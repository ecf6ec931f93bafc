"""Parquet files as sources: row groups are decoded one at a time, in any order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from ._common import reading, require
from .columnar import ColumnarSource, Group, files_of, groups_of

__all__ = ["ENDINGS", "ParquetSource"]

ENDINGS = (".parquet", ".pq")
_EXPECTED = "a Parquet file"


class ParquetSource(ColumnarSource):
    """Rows of one Parquet file, or of all Parquet files of a folder in the order of their names.

    Write row groups of moderate size (say 10,000 rows) where the file is sorted, e.g. by label: groups come in random
    order, and what is shuffled inside one is a piece of it.

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
        If there is no such file, it is damaged or empty, or columns are not numbers.
    ConfigError
        If pyarrow is not installed.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, exclude: Collection[str] = ()) -> None:
        require("pyarrow.parquet", "Reading Parquet")
        self._metadata = {file: _metadata(file) for file in files_of(path, ENDINGS, "Parquet")}
        schemas = {file: found.schema.to_arrow_schema() for file, found in self._metadata.items()}
        counts = {
            file: [found.row_group(i).num_rows for i in range(found.num_row_groups)]
            for file, found in self._metadata.items()
        }
        super().__init__(path, schemas, groups_of(counts, path), columns, exclude, "parquet")

    def _batches(self, group: Group, rows: int) -> Iterator[Any]:
        import pyarrow.parquet as pq

        columns = self._layout.columns
        # A column is read through a buffer, page by page, or a large row group would be held whole.
        how = {"pre_buffer": False, "buffer_size": max(2**12, 2**20 // len(columns))}
        with (
            reading(group.path, _EXPECTED),
            pq.ParquetFile(group.path, metadata=self._metadata[group.path], **how) as file,
        ):
            batches = file.iter_batches(rows, row_groups=[group.number], columns=columns, use_threads=False)
            # Nothing promises that the columns come in the order asked for, so select again.
            yield from (batch.select(columns) for batch in batches)


def _metadata(path: Path) -> Any:
    import pyarrow.parquet as pq

    with reading(path, _EXPECTED):
        return pq.read_metadata(path)
