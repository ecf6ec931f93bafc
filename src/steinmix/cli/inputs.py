"""From the word DATA on the command line to rows. Labels are apart from the rows from the first moment.

`Data.rows` is a `Source`, which has no place for labels; `Data.labels` is a function that is called after training, by
what scores. A column of labels is left out of the rows when the file is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from .._machine import counted
from .._typing import Source
from ..data.csv import ENDINGS as CSV
from ..data.datasets import available
from ..data.sources import Categories, UnknownColumns, as_source, ending
from ..errors import ConfigError, DataError, suggestion
from .labels import is_label_file, read_label_column, read_label_file

__all__ = ["Data", "Request", "check_varies", "load_published", "new_rows", "open_data", "open_like"]

_PART_PARAMETERS = ("subset", "features")
"""What NAME:PART may set in a loader."""

_ADVICE = re.compile(r"(?:, or|[.;]) [^.,;]* with sm\.as_source\(.*|, or name another\.$", re.DOTALL)
"""What only a fit can do, at the end of errors of files."""

FEW_ROWS = 256
"""Rows read at a time where a few should be enough."""


@dataclass(frozen=True)
class Request:
    """What the user named: all that is needed to open the data again.

    Attributes
    ----------
    data : str
        A path, or the name of a data set.
    labels : str or None
        A column of the file, or a file of its own.
    exclude : tuple of str
        Columns to leave out.
    use_labels : bool
        Whether the targets of a published data set may be used for scores.
    categories : tuple of str
        Columns whose values become columns of 0 and 1.
    """

    data: str
    labels: str | None = None
    exclude: tuple[str, ...] = ()
    use_labels: bool = True
    categories: tuple[str, ...] = ()

    @property
    def label_file(self) -> Path | None:
        """The file that `labels` names, if it names one."""
        return Path(self.labels) if self.labels is not None and is_label_file(self.labels) else None

    @property
    def label_column(self) -> str | None:
        """The column that `labels` names, if it names one."""
        return self.labels if self.label_file is None else None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that are no part of the rows: the excluded ones and the one of labels."""
        return self.exclude if self.label_column is None else (*self.exclude, self.label_column)

    @property
    def files(self) -> list[Path]:
        """Files, and folders of files, that are read: what no output may replace or mix with."""
        data = None if _is_published(self.data) else Path(self.data)
        return [path for path in (data, self.label_file) if path is not None]

    def absolute(self) -> Request:
        """Return the request with full paths, so that it can be repeated from another folder."""
        data = self.data if _is_published(self.data) else str(Path(self.data).resolve())
        labels = self.labels if self.label_file is None else str(self.label_file.resolve())
        return replace(self, data=data, labels=labels)


@dataclass(frozen=True)
class Data:
    """Rows, and apart from them a way to their labels.

    Attributes
    ----------
    name : str
    rows : Source
    labels : callable or None
        Returns the labels (n,); None if there are none.
    labels_from : str or None
        Where they come from, in words.
    """

    name: str
    rows: Source
    labels: Callable[[], np.ndarray] | None = None
    labels_from: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return what a record needs to name the data."""
        return {"name": self.name, **self.rows.describe(), "feature_names": self.rows.feature_names}


def open_data(request: Request, categories: Categories = ()) -> Data:
    """Open a file, a folder of Parquet or Arrow files, or a published data set.

    Parameters
    ----------
    request : Request
    categories : mapping of str to sequence of str, optional
        The values of the request's category columns, as a model knows them; those found unless given.

    Raises
    ------
    DataError
        If there is no such thing or it cannot be used.
    ConfigError
        If a column is unknown.
    """
    if _is_published(request.data):
        return _published(request)
    return _from_file(_existing(request.data), request, categories or request.categories)


def _existing(word: str) -> Path:
    if not Path(word).exists():
        known = available()
        names = f"one of the data sets {', '.join(known)}"
        raise DataError(f"there is no file {word}{suggestion(word, known) or ';'} expected a file or {names}.")
    return Path(word)


def open_like(
    data: str,
    feature_names: Sequence[str] | None,
    n_features: int,
    exclude: Sequence[str],
    categories: Mapping[str, Sequence[str]],
) -> Data:
    """Open new rows for a model: its columns by name where both have names, else all but those excluded at the fit.

    Parameters
    ----------
    data : str
        As DATA of `open_data`.
    feature_names : sequence of str or None
        Columns the model was fitted on.
    n_features : int
        Their number.
    exclude : sequence of str
        Columns that were left out then. Where the rows of the fit had no names, rows that are as wide as the model are
        taken to be without them already.
    categories : mapping of str to sequence of str
        Category columns of the fit and their values; their columns of 0 and 1 are the last of `feature_names`.

    Raises
    ------
    DataError
        If the rows of the fit or these have no names, and these have neither the width of those nor that of the model.
    ConfigError
        If a column is missing.
    """
    exclude = exclude if feature_names is None else ()  # names have no place in rows without any
    if _is_published(data):
        found = load_published(data)
        left_out = _left_out(data, found.feature_names, exclude, n_features)
        return _as_wide(Data(data, _named(found, feature_names) or _kept(found, left_out)), n_features, categories)
    path = _existing(data)
    if feature_names is not None and ending(path) != ".npy":
        numbers = list(feature_names)[: len(feature_names) - sum(map(len, categories.values()))]
        try:
            return Data(path.name, as_source(path, columns=numbers, categories=categories))
        except ConfigError as error:
            raise ConfigError(f"{path.name}: {error}") from None
    source = as_source(path)
    left_out = _left_out(path.name, source.feature_names or range(source.n_features), exclude, n_features)
    source = as_source(path, exclude=left_out) if left_out else source
    return _as_wide(Data(path.name, source), n_features, categories)


def _as_wide(data: Data, n_features: int, categories: Mapping[str, Sequence[str]]) -> Data:
    """Return the data if they have as many columns as the model takes."""
    if data.rows.n_features == n_features:
        return data
    text = f"{data.name} has {counted(data.rows.n_features, 'column')}; expected the {n_features} that the model takes"
    if categories:
        text += f", of which some stand for {', '.join(categories)}: give a file that has the columns by name"
    raise DataError(f"{text}.")


@contextmanager
def new_rows() -> Iterator[None]:
    """Cut off what an error says of leaving columns out: new rows have the columns that the model asks for."""
    try:
        yield
    except (ConfigError, DataError) as error:
        error.args = (_ADVICE.sub(".", str(error)),)
        raise


def _named(published: Any, columns: Sequence[str] | None) -> Source | None:
    """Return the named columns of a published data set, None unless it has all of them."""
    names = list(published.feature_names)
    if columns is None or not set(columns) <= set(names):
        return None
    return as_source(published.data, columns=[names.index(column) for column in columns])


def _left_out(data: str, columns: Sequence[Any], exclude: Sequence[str], n_features: int) -> list[Any]:
    """Return which of the columns of new rows are to be left out, all those meant by `exclude` or none."""
    extra = len(columns) - n_features
    if not exclude or not extra:
        return []
    meant = {str(name): name for name in columns} | {str(place): name for place, name in enumerate(columns)}
    found = {meant.get(column) for column in exclude}
    if None in found or len(found) != extra:
        raise DataError(
            f"{data} has {len(columns)} columns; expected the {n_features} that the model takes, or "
            f"{n_features + len(set(exclude))}, of which those left out at the fit ({', '.join(exclude)}) are left out."
        )
    return list(found)


def check_varies(rows: Source, name: str) -> None:
    """Raise DataError if all rows are the same; as a rule the first block tells, and no other is read."""
    first = None
    for _, block in rows.blocks(FEW_ROWS):
        first = block[:1] if first is None else first
        if not isinstance(block, np.ndarray) or (block != first).any():
            return
    if rows.n_rows > 1:
        raise DataError(
            f"all {rows.n_rows:,} rows of {name} are the same; expected rows that differ in some column. "
            "Check the file, and what --exclude leaves out."
        )


def load_published(name: str) -> Any:
    """Return the published data set called NAME or NAME:PART, such as mnist:train.

    Raises
    ------
    ConfigError
        If it has no such part.
    """
    stem, _, part = name.partition(":")
    loader = available()[stem]
    if not part:
        return loader()
    parameter = next((p for p in _PART_PARAMETERS if p in signature(loader).parameters), None)
    if parameter is None:
        raise ConfigError(f"the data set {stem} has no parts; got {name!r}, expected {stem!r}.")
    return loader(**{parameter: part})


def _is_published(word: str) -> bool:
    """A name without a suffix or a separator means the data set; ./name means the file."""
    return word.partition(":")[0] in available()


def _published(request: Request) -> Data:
    if request.categories:
        raise ConfigError(f"--categories are columns of a file; {request.data} is a data set of numbers. Leave it out.")
    found = load_published(request.data)
    rows = _kept(found, request.exclude)
    if request.label_column is not None:
        raise ConfigError(
            f"--labels: there is no file {request.labels} (.npy, .csv or .parquet); {request.data} has no such column."
        )
    if request.label_file is not None:
        return _with_label_file(Data(request.data, rows), request.label_file)
    target = found.target
    origin = f"the targets of {request.data}"
    return Data(request.data, rows, lambda: target, origin) if request.use_labels else Data(request.data, rows)


def _kept(published: Any, exclude: Sequence[str]) -> Source:
    names = list(published.feature_names)
    return _excluding(published.data, [names.index(c) if c in names else c for c in exclude])


def _from_file(path: Path, request: Request, categories: Categories) -> Data:
    column = request.label_column
    try:
        data = Data(path.name, _excluding(path, request.left_out, categories))
    except UnknownColumns as err:
        if column is None or column not in map(str, err.unknown):
            raise
        raise ConfigError(
            f"--labels: got {column!r}, which is no column of {path.name} and no file; expected some of {err.known}. "
            "Correct --labels."
        ) from None
    if column is None:
        return data if request.label_file is None else _with_label_file(data, request.label_file)
    named = ending(path) != ".npy" and (data.rows.feature_names is not None or ending(path) not in CSV)
    return _checked(data, lambda: read_label_column(path, column, named), f"the column {column!r} of {path.name}")


def _excluding(X: Any, exclude: Sequence[Any], categories: Categories = ()) -> Source:
    """Leave columns out by name, or by position where columns have no names; categories have names."""
    if categories or not exclude:
        return as_source(X, exclude=list(exclude), categories=categories)
    numbers = [int(c) if str(c).isdigit() else c for c in exclude]
    if not isinstance(X, Path) or ending(X) == ".npy":
        return as_source(X, exclude=numbers)
    try:
        return as_source(X, exclude=list(exclude))
    except ConfigError:
        if not all(isinstance(c, int) for c in numbers):
            raise
    return as_source(X, exclude=numbers)


def _with_label_file(data: Data, file: Path) -> Data:
    return _checked(data, lambda: read_label_file(file, data.rows.n_rows), f"the file {file.name}")


def _checked(data: Data, read: Callable[[], np.ndarray], origin: str) -> Data:
    """Complain now, not after training, of labels that do not fit; what is read here is dropped."""
    labels = read()
    if len(labels) != data.rows.n_rows:
        raise DataError(
            f"got {len(labels)} labels from {origin} for {data.rows.n_rows} rows; expected one label a row."
        )
    if missing := int(np.sum(labels != labels)):  # NaN and NaT only
        raise DataError(f"{missing} labels from {origin} are NaN; expected one for each row. Fill them.")
    return Data(data.name, data.rows, read, origin)
