"""`ColumnarSource`: what Parquet and Arrow IPC files share. Their rows come in groups, which are decoded one by one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ._common import ending
from .layout import layout_of, rows_of
from .streams import StreamedSource, refuse_nulls

__all__ = ["ColumnarSource", "Group", "files_of", "groups_of"]


class Group(NamedTuple):
    """Rows that are stored together.

    Attributes
    ----------
    path : Path
    number : int
        Of the group in its file.
    start : int
        Its first row, counted over all files.
    rows : int
    """

    path: Path
    number: int
    start: int
    rows: int


class ColumnarSource(StreamedSource):
    """Rows of one file of groups, or of all such files of a folder in the order of their names.

    Memory holds one group, or a piece of it where it is large, never the file. With `rng`, `blocks` takes the groups in
    random order and shuffles the blocks inside each piece of one. NaN is found by `column_statistics`, missing values
    (null) when they are read. A subclass defines `_batches`.

    Parameters
    ----------
    path : Path
    schemas : mapping of Path to pyarrow.Schema
        Of every file.
    groups : sequence of Group
    columns : sequence of str or None
        Columns to serve, in this order; see `steinmix.data.layout`.
    exclude : collection of str
        Columns to leave out.
    kind : str
    """

    def __init__(
        self,
        path: Path,
        schemas: Mapping[Path, Any],
        groups: Sequence[Group],
        columns: Sequence[str] | None,
        exclude: Collection[str],
        kind: str,
    ) -> None:
        self._groups, self._files = groups, len(schemas)
        self._layout = layout_of(schemas, columns, exclude)
        if self._layout.width < 0:  # the length of the vectors is not in the schema
            self._layout = self._layout._replace(width=self._first_length())
        if not self._layout.width:
            raise DataError(f"{path} holds vectors of length 0; expected at least 1. Check how it was written.")
        n_rows = sum(group.rows for group in groups)
        super().__init__(path, n_rows, self._layout.n_features, self._layout.dtype, self._layout.names, kind)

    def describe(self) -> dict[str, Any]:
        """Return kind, shape, dtype, path, and the numbers of files and row groups as plain JSON values."""
        return super().describe() | {"files": self._files, "row_groups": len(self._groups)}

    def _pieces(self, rng: np.random.Generator | None, wanted: np.ndarray | None) -> Iterator[tuple[int, np.ndarray]]:
        for i in range(len(self._groups)) if rng is None else rng.permutation(len(self._groups)):
            group = self._groups[i]
            if wanted is None or np.diff(np.searchsorted(wanted, [group.start, group.start + group.rows])).any():
                yield from self._decoded(group)

    def _decoded(self, group: Group) -> Iterator[tuple[int, np.ndarray]]:
        start = group.start
        for batch in self._batches(group, self._piece_rows):
            yield start, rows_of(batch, self._layout, start, group.path)
            start += batch.num_rows

    @abstractmethod
    def _batches(self, group: Group, rows: int) -> Iterator[Any]:
        """Yield record batches of at most `rows` rows of the layout's columns, in order."""

    def _first_length(self) -> int:
        column = next(self._batches(self._groups[0], 1)).column(0)
        refuse_nulls(column, self._layout.columns[0], 0, self._groups[0].path)
        return len(column[0])


def files_of(path: Path, endings: Collection[str], kind: str) -> list[Path]:
    """Return the file, or the files of a folder, with one of the endings, in the order of their names.

    What is hidden (``.ipynb_checkpoints/x.parquet``, ``._x.parquet``) is a copy that some program keeps, not data.
    """
    if not path.is_dir():
        return [path]
    shown = (p for p in path.rglob("*") if not any(part.startswith(".") for part in p.relative_to(path).parts))
    files = sorted(p for p in shown if ending(p) in endings and p.is_file())
    if not files:
        wanted = " or ".join(f"*{ending}" for ending in endings)
        raise DataError(f"The folder {path} holds no {kind} file; expected at least one {wanted}. Check the path.")
    return files


def groups_of(counts: Mapping[Path, Sequence[int]], path: Path) -> list[Group]:
    """Return the groups of files whose numbers of rows, group by group, are `counts`.

    Raises
    ------
    DataError
        If there are no rows at all.
    """
    groups, start = [], 0
    for file, rows in counts.items():
        for number, count in enumerate(rows):
            groups.append(Group(file, number, start, count))
            start += count
    if not start:
        raise DataError(f"{path} has 0 rows; expected at least 1. Check that it was written completely.")
    return [group for group in groups if group.rows]
