"""Runs what is missing of a table: one record for each finished seed, so that it can be stopped and gone on with."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

from .._machine import forget_peak, peak_memory_mb
from ..errors import CollapseError, DataError, DivergedError
from .records import Key, RunRecord, append, by_key, read
from .spec import Experiment, Load, Row

__all__ = ["NO_RUNNER", "Cell", "complete", "missing", "records_of", "unavailable", "why_not"]

NO_RUNNER = "no runner in this version"


class Cell(NamedTuple):
    """One run: a row and a seed."""

    row: Row
    seed: int


def records_of(experiment: Experiment, folder: str | Path) -> dict[Key, RunRecord]:
    """Return the records of an experiment: all files ``<paper>-<table>*.jsonl`` of the folder, by key."""
    if experiment.study is not None:
        return by_key(experiment.study.read(Path(folder)))
    paths = sorted(Path(folder).glob(f"{experiment.stem}*.jsonl"))
    return by_key(record for record in read(paths) if record.experiment == experiment.id)


def missing(experiment: Experiment, rows: Iterable[Row], seeds: Sequence[int], folder: str | Path) -> list[Cell]:
    """Return the runs that have no record yet, of the rows that can be run: data set by data set, seed by seed."""
    done, rows = records_of(experiment, folder), [row for row in rows if experiment.runs(row)]
    return [
        Cell(row, seed)
        for data in dict.fromkeys(row.data for row in rows)
        for seed in seeds
        for row in rows
        if row.data == data and (experiment.id, row.name, row.protocol, seed) not in done
    ]


def why_not(experiment: Experiment, row: Row) -> str:
    """Return why a row cannot be run here, as far as that is known before its data are read; empty if it can."""
    if not experiment.runs(row):
        return NO_RUNNER
    gone = "" if row.absent is None else row.absent(row.data)
    return gone and f"not run here: {gone}"


def unavailable(experiment: Experiment, rows: Iterable[Row]) -> dict[str, str]:
    """Return, by name, why rows cannot be run here: no runner, or no data."""
    reasons = {}
    for row in rows:
        if reason := why_not(experiment, row):
            reasons[row.name] = reason
        elif row.load is not None:
            try:
                _data(row.load, row.data)
            except DataError as error:
                reasons[row.name] = f"no data: {error}"
    return reasons


def complete(
    experiment: Experiment,
    cells: Sequence[Cell],
    folder: str | Path,
    jobs: int = 1,
    progress: bool | None = None,
    fresh: bool = False,
) -> int:
    """Run some cells and append one record each to ``<paper>-<table>.jsonl`` in the folder.

    Rows that take hours write checkpoints to ``checkpoints`` in the folder, which go when their record is written.

    Parameters
    ----------
    experiment : Experiment
    cells : sequence of Cell
        As `missing` gives them.
    folder : path
    jobs : int
        Processes; with more than one each has one thread. Runs that share a training stay in one process.
    progress : bool, optional
        Show a bar; None shows it on a terminal only.
    fresh : bool, default=False
        Begin anew where checkpoints are.

    Returns
    -------
    int
        Seeds that failed; their records say how.
    """
    from tqdm import tqdm

    if experiment.study is not None and cells:
        experiment.study.run(list(dict.fromkeys(cell.row.name for cell in cells)), Path(folder), jobs, fresh)
        return 0
    for cell in cells if fresh else ():
        shutil.rmtree(_checkpoint(Path(folder), _key(experiment.id, cell)), ignore_errors=True)
    path, failed = Path(folder) / f"{experiment.stem}.jsonl", 0
    hidden = None if progress is None else not progress
    with tqdm(total=len(cells), desc=experiment.id, unit="run", disable=hidden, leave=False) as bar:
        for record in _runs(experiment.id, cells, Path(folder), jobs):
            append(path, record)
            shutil.rmtree(_checkpoint(Path(folder), record.key), ignore_errors=True)
            failed += bool(record.failure)
            bar.set_postfix_str(f"{record.row}, seed {record.seed}")
            bar.update()
    return failed


def _runs(experiment: str, cells: Sequence[Cell], folder: Path, jobs: int) -> Iterator[RunRecord]:
    groups = _groups(cells)
    if jobs == 1 or len(groups) < 2:
        return (_run(experiment, cell, folder) for cell in cells)
    from joblib import Parallel, delayed

    workers = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    found: Any = workers(delayed(_run_alone)(experiment, group, folder) for group in groups)
    return chain.from_iterable(found)


def _groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Divide the runs into those that share what is trained."""
    shared = groupby(cells, key=lambda cell: (cell.row.shared or cell.row.name, cell.seed))
    return [list(group) for _, group in shared]


def _run_alone(experiment: str, cells: Sequence[Cell], folder: Path) -> list[RunRecord]:
    """Run in a process that shares the cores with others."""
    import torch

    torch.set_num_threads(1)
    return [_run(experiment, cell, folder) for cell in cells]


def _key(experiment: str, cell: Cell) -> Key:
    return experiment, cell.row.name, cell.row.protocol, cell.seed


def _checkpoint(folder: Path, key: Key) -> Path:
    """Return where a run that is stopped leaves what it goes on from."""
    return folder / "checkpoints" / re.sub(r"[^\w+.-]+", "-", "-".join(map(str, key)))


def _run(experiment: str, cell: Cell, folder: Path) -> RunRecord:
    row, seed = cell
    if row.run is None:
        raise ValueError(f"{row.name} has no runner")
    data = None if row.load is None else _data(row.load, row.data)
    forget_peak()
    own = _checkpoint(folder, _key(experiment, cell))
    start, failure = time.perf_counter(), ""
    try:
        outcome = dict(row.run(row.name, seed, data, **({"checkpoint": own} if row.resumable else {})))
    except (CollapseError, DivergedError) as error:  # a result, and no seed is dropped
        outcome, failure = {}, f"{type(error).__name__}: {error}"
    seconds = round(time.perf_counter() - start + outcome.pop("earlier_seconds", 0.0), 3)
    settings = dict(outcome.pop("settings", {}))
    return RunRecord(experiment, row.name, row.protocol, seed, outcome, seconds, peak_memory_mb(), settings, failure)


@lru_cache(maxsize=1)
def _data(load: Load, name: str) -> Any:
    """Return the data of the last row again, if they are the same."""
    return load(name)
