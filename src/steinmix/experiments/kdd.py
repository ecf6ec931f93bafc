"""KDD Cup 1999: a row trained on a split, judged under a protocol.

A row is trained once for the protocols that divide the rows alike, if they are asked for one after the other.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np

from .._params import check_choice
from ..data import datasets
from ..errors import UnboundedWarning
from .detectors import ROWS
from .protocols import KDD, PROTOCOLS, judged, load_kdd, prepared, split

__all__ = ["judge", "load", "run"]


@lru_cache(maxsize=1)
def load(name: str = "kdd") -> KDD:
    """Return the data set."""
    return load_kdd(datasets.load_kddcup99())


def run(row: str, seed: int, data: KDD) -> dict[str, float]:
    """Train and judge the row "kdd/PROTOCOL/NAME" of a table; see `judge`."""
    _, protocol, name = row.split("/")
    return judge(name, protocol, seed, data)


def judge(row: str, protocol: str, seed: int, kdd: KDD) -> dict[str, float]:
    """Train a row on a split and judge it.

    Parameters
    ----------
    row : str
        Of `ROWS`.
    protocol : str
        Of `PROTOCOLS`.
    seed : int
        Of the split and of the row's own chance: each seed has its own start.
    kdd : KDD

    Returns
    -------
    dict
        ``precision``, ``recall``, ``f1``, ``auroc``, ``average_precision``.

    Raises
    ------
    ConfigError
        If there is no such row or protocol.
    """
    check_choice("row", row, ROWS)
    halves = PROTOCOLS[check_choice("protocol", protocol, PROTOCOLS)].halves
    return judged(kdd, split(kdd, halves, seed), _scores(row, halves, seed, kdd), protocol)


@lru_cache(maxsize=1)
def _scores(row: str, halves: str, seed: int, kdd: KDD) -> np.ndarray:
    """Return the scores of all rows (n,); equal rows are scored once."""
    train = split(kdd, halves, seed).train
    rows = prepared(kdd, train, ROWS[row].preparation)
    _, first, copy = np.unique(kdd.distinct, return_index=True, return_inverse=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnboundedWarning)  # the rows say so themselves
        return ROWS[row].score(rows[train], rows[first], seed)[copy.ravel()]
