"""Runs KDD Cup 1999, one record for each row, protocol and seed::

    python -m steinmix.experiments.kdd --protocol T --row dagmm --seeds 0-19 --output results/wang2019-kdd.jsonl

What has a record already is not run again. A row is trained once for the protocols that divide the rows alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data import datasets
from ..errors import ConfigError, UnboundedWarning
from .detectors import ROWS
from .protocols import KDD, PROTOCOLS, judged, load_kdd, prepared, split

__all__ = ["load", "main", "run"]


@lru_cache(maxsize=1)
def load(name: str = "kdd") -> KDD:
    """Return the data set."""
    return load_kdd(datasets.load_kddcup99())


def run(row: str, protocol: str, seed: int, kdd: KDD) -> dict[str, Any]:
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
    for name, value, known in (("row", row, ROWS), ("protocol", protocol, PROTOCOLS)):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(known)}.")
    halves = PROTOCOLS[protocol].halves
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


def main(argv: Sequence[str] | None = None) -> None:
    """Do what the arguments say."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(1)
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    done = {(r["row"], r["protocol"], r["seed"]) for r in _records(output)}
    for row in options.row:
        for seed in options.seeds:
            for protocol in options.protocol:
                if (row, protocol, seed) not in done:
                    _append(output, {"row": row, "protocol": protocol, "seed": seed} | _timed(row, protocol, seed))


def _timed(row: str, protocol: str, seed: int) -> dict[str, Any]:
    kdd, start = load(), time.perf_counter()
    metrics = run(row, protocol, seed, kdd)
    return {"metrics": metrics, "preparation": ROWS[row].preparation, "seconds": round(time.perf_counter() - start, 1)}


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        yield from (json.loads(line) for line in path.read_text().splitlines() if line)


def _append(path: Path, record: Mapping[str, Any]) -> None:
    line = json.dumps(record)
    with path.open("a") as file:
        file.write(line + "\n")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m steinmix.experiments.kdd", description=__doc__)
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=["Z", "D"])
    parser.add_argument("--row", nargs="+", choices=ROWS, required=True)
    parser.add_argument("--seeds", type=_numbers, default=range(20), metavar="0-19")
    parser.add_argument("--output", default="results/wang2019-kdd.jsonl")
    return parser


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    main()
