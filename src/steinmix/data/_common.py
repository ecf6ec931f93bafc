"""What all sources share: the choice of columns, the type rows are kept in, the order of blocks."""

from __future__ import annotations

import csv
import shlex
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError

__all__ = [
    "NothingKept",
    "UnknownColumns",
    "both_forms",
    "ending",
    "keep_columns",
    "kept_dtype",
    "not_numeric",
    "not_utf8",
    "reading",
    "require",
    "slices",
]


def ending(path: Path) -> str:
    """Return the last suffix of a path in lower case, together with the one before a ``.gz``: what decides its kind."""
    name = path.name.lower()
    inner = Path(name.removesuffix(".gz")).suffix
    return f"{inner}.gz" if name.endswith(".gz") else inner


class UnknownColumns(ConfigError):
    """Columns to leave out are not there.

    Attributes
    ----------
    unknown : list
    known : str
        Those there are, in words.
    """

    def __init__(self, unknown: list[Any], known: str) -> None:
        text = f"expected some of {known}. Correct `exclude` or `categories`."
        super().__init__(f"Got unknown columns {unknown[:10]}; {text}")
        self.unknown, self.known = unknown, known


class NothingKept(ConfigError):
    """No column is left."""

    def __init__(self) -> None:
        super().__init__("Got `columns` and `exclude` that leave no column; expected at least one. Keep one.")


def keep_columns(
    width: int, names: Sequence[Any] | None, columns: Sequence[Any] | None, exclude: Collection[Any]
) -> list[int] | None:
    """Return the positions of the columns to keep, in the order asked for, or None for all.

    Without `names`, `columns` and `exclude` are positions.

    Raises
    ------
    ConfigError
        If a column is unknown, `UnknownColumns` where it is to be left out; `NothingKept` if none is left.
    """
    if columns is None and not len(exclude):
        return None
    given = [*(columns or ()), *exclude]
    if names is None and (strange := [c for c in given if isinstance(c, bool | np.bool_ | float | np.floating)]):
        raise ConfigError(
            f"`columns` or `exclude` hold {strange[0]!r}, and the columns of these data have no names; expected "
            f"positions, 0 to {width - 1}."
        )
    position = {name: i for i, name in enumerate(range(width) if names is None else names)}
    known = f"positions 0 to {width - 1}" if names is None else ", ".join(map(repr, list(position)[:20]))
    if missing := [c for c in columns or () if c not in position]:
        raise ConfigError(
            f"There is no column {', '.join(map(repr, missing[:10]))}, which is asked for or which the model was "
            f"fitted on; there are {known}. Give data that have it, or name another."
        )
    if unknown := [c for c in exclude if c not in position]:
        raise UnknownColumns(unknown, known)
    kept = [position[c] for c in (position if columns is None else columns) if c not in exclude]
    if not kept:
        raise NothingKept
    return kept


def kept_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type rows are served in: native byte order, bool as uint8, wide floats as float64."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize > 8:
        return np.dtype(np.float64)
    return dtype.newbyteorder("=")


def slices(n_rows: int, rows: int, rng: np.random.Generator | None) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of consecutive blocks of at most `rows`, in random order with `rng`."""
    if rows < 1:
        raise ConfigError(f"Got blocks of {rows} rows; expected at least 1.")
    starts = np.arange(0, n_rows, rows)
    for start in starts if rng is None else rng.permutation(starts):
        yield int(start), min(int(start) + rows, n_rows)


def require(module: str, purpose: str) -> None:
    """Raise ConfigError if an optional module, one of the extra ``data``, is not installed."""
    try:
        import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        text = f'{purpose} needs {package}, which is not installed; do: pip install "steinmix[data]"'
        raise ConfigError(text) from None


def both_forms(option: str, names: Sequence[Any]) -> str:
    """Return how columns are named in Python, and on the command line (steinmix fit --exclude a,b)."""
    word = ",".join(f'"{name}"' if "," in str(name) or not str(name) else str(name) for name in names)
    return f"sm.as_source(X, {option}={list(names)}) (steinmix fit --{option} {shlex.quote(word)})"


def not_numeric(names: Sequence[Any], types: Sequence[Any], what: str) -> DataError:
    """Return the error that names the columns which are no numbers."""
    listed = ", ".join(f"{n!r} ({t})" for n, t in list(zip(names, types))[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return DataError(
        f"{what} has columns that are not numbers: {listed}{more}; expected numbers only. "
        f"Drop them with {both_forms('exclude', names[:10])}, or name them as categories with "
        f"{both_forms('categories', names[:10])}: each value gets a column of 0 and 1."
    )


def not_utf8(path: Path, expected: str) -> DataError:
    """Return the error for text in another encoding."""
    return DataError(f"{path} is not UTF-8 text; expected {expected}. Save it as UTF-8.")


@contextmanager
def reading(path: Path, expected: str) -> Iterator[None]:
    """Turn what a reader raises for a missing or damaged file into one clear line."""
    try:
        yield
    except (ConfigError, DataError):
        raise
    except FileNotFoundError:
        raise DataError(f"There is no file {path}; expected {expected}. Check the path.") from None
    except UnicodeDecodeError as err:
        raise not_utf8(path, expected) from err
    except (csv.Error, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as err:
        if "invalid UTF8" in str(err):  # pyarrow's words
            raise not_utf8(path, expected) from err
        first_line = (str(err).splitlines() or [type(err).__name__])[0]
        raise DataError(
            f"{path} cannot be read ({first_line}); expected {expected}. Check the file, or write it again."
        ) from err
