"""Records of runs: one JSON line for each finished seed, which several processes may append to at once.

A line that was cut off by a crash is the last one of its file; readers pass over it and the next writer removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, TypeVar

from .._machine import finite, hardware, now, versions
from ..errors import ModelFileError

__all__ = ["Key", "RunRecord", "append", "append_lines", "as_typed", "by_key", "read", "read_lines"]

T = TypeVar("T")

FORMAT, SCHEMA = "steinmix-record", 1

Key = tuple[str, str, str, int]
"""Experiment, row, protocol, seed."""


@dataclass(frozen=True)
class RunRecord:
    """What came of one seed of one row.

    Attributes
    ----------
    experiment, row, protocol : str
    seed : int
    metrics : dict
        Numbers, or lists of numbers; empty if the run failed.
    wall_seconds : float, optional
        Of all sittings, without the time to load the data.
    peak_mb : float, optional
        Most memory (MiB) that the process held during the run, data included.
    settings : dict
        What else decides the result.
    failure : str
        The error that ended the run; a seed that failed is shown, not dropped.
    versions, hardware, created
        As found when the record is made.
    """

    experiment: str
    row: str
    protocol: str
    seed: int
    metrics: dict[str, Any]
    wall_seconds: float | None = None
    peak_mb: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    versions: dict[str, str] = field(default_factory=versions)
    hardware: str = field(default_factory=hardware)
    created: str = field(default_factory=now)

    @property
    def key(self) -> Key:
        """What makes it the record of this run and no other."""
        return self.experiment, self.row, self.protocol, self.seed

    def line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps({"format": FORMAT, "schema": SCHEMA, **finite(asdict(self))}, sort_keys=False)


def append(path: str | Path, record: RunRecord) -> None:
    """Add a record to a file, as `append_lines` does."""
    append_lines(path, [record.line()])


def append_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Add lines to a file, whole and on disk when this returns.

    Parameters
    ----------
    path : path
        A ``.jsonl`` file; it and its folder are made if missing. Other processes may append to it at the same time.
    lines : iterable of str
        JSON, without the lines' ends.

    Raises
    ------
    ModelFileError
        If it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _mend(file)
            file.write("".join(f"{line}\n" for line in lines).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {error.strerror or error}.") from error


def _mend(file: IO[bytes]) -> None:
    """Remove a line without an end, which a crash has left; one that is whole but for the line's end is kept."""
    file.seek(0)
    whole, _, torn = file.read().rpartition(b"\n")
    if not torn:
        return
    with suppress(ValueError):
        json.loads(torn)
        file.write(b"\n")
        return
    file.truncate(len(whole) + 1 if whole else 0)


def read(paths: Iterable[str | Path]) -> list[RunRecord]:
    """Return the records of some files, in their order.

    Raises
    ------
    ModelFileError
        If a file cannot be read, or a line other than a torn last one is no record.
    """
    return [record for path in paths for record in read_lines(Path(path), _parsed)]


def read_lines(path: Path, parsed: Callable[[Any], T]) -> list[T]:
    """Return what the lines of a file of JSON hold, each as `parsed` gives it; see `read`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror or error}.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip():
                found.append(parsed(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):  # no line's end behind it: a crash cut it off
                break
            raise ModelFileError(f"{path}, line {number} is no record ({error}); restore the file.") from error
    return found


def _parsed(entry: Mapping[str, Any]) -> RunRecord:
    if not isinstance(entry, dict) or entry.get("format") != FORMAT:
        raise TypeError(f'expected "format": "{FORMAT}"')
    if entry.get("schema") != SCHEMA:
        raise TypeError(f"schema {entry.get('schema')!r}, this version reads {SCHEMA}")
    missing = [f.name for f in fields(RunRecord) if f.name not in entry]
    if missing:
        raise TypeError(f"it lacks {', '.join(missing)}")
    return RunRecord(**{f.name: entry[f.name] for f in fields(RunRecord)})


def as_typed(model: Any) -> str:
    """Return an estimator on one line as one types it: what is not its default."""
    return " ".join(repr(model).split())


def by_key(records: Iterable[RunRecord]) -> dict[Key, RunRecord]:
    """Return the records by key; of several with one key the one made last."""
    return {record.key: record for record in sorted(records, key=lambda record: record.created)}
