"""The papers' tables as data, a runner that completes them seed by seed, and tables made from its records alone.

A new table is an `Experiment` in the file of its paper. A new row needs one function,
``run(row, seed, data) -> metrics``, and a line in that file.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib import import_module

from ..errors import ConfigError, suggestion, unknown
from .spec import METRICS, Claim, Curve, Experiment, Metric, Row, Study, Sweep

__all__ = [
    "METRICS",
    "PAPERS",
    "Claim",
    "Curve",
    "Experiment",
    "Metric",
    "Row",
    "Study",
    "Sweep",
    "available",
    "chosen_rows",
    "find",
]

PAPERS = ("wang2019", "jiang2017", "dilokthanakul2016", "zong2018")


def available() -> dict[str, Experiment]:
    """Return all experiments by id."""
    return {e.id: e for paper in PAPERS for e in import_module(f".{paper}", __name__).EXPERIMENTS}


def find(name: str) -> Experiment:
    """Return an experiment by id.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    known = available()
    if name not in known:
        raise unknown("experiment", name, known)
    return known[name]


def chosen_rows(experiment: Experiment, patterns: Sequence[str]) -> list[Row]:
    """Return the rows whose names match one of the patterns (``mnist/*``); all without a pattern.

    Raises
    ------
    ConfigError
        If a pattern matches no row.
    """
    names = [row.name for row in experiment.rows]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = suggestion(pattern, names) or ";"
            raise ConfigError(f"no row {pattern!r} in {experiment.id}{near} `--list {experiment.id}` shows its rows.")
    return [row for row in experiment.rows if not patterns or any(fnmatchcase(row.name, p) for p in patterns)]
