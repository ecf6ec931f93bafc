"""``steinmix score RUN DATA``: how normal new rows are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..metrics import conformal_pvalues, false_discovery_control, fewest_discoveries
from .inputs import Request, new_rows
from .outputs import check_table, new_table
from .parsing import Parser, add_common_options
from .predictions import scores, tell_unscored
from .records import PREDICTIONS, read_run
from .show import print_result

__all__ = ["run"]

_DESCRIPTION = """\
Score every row of DATA by the model's log-density, or a lower bound of it: high is normal, low is unusual.
With -o the scores are written as row, score; the summary is printed in any case.
With --calibration each row gets a p-value for being as normal as those, whatever the model is worth, and a flag: of the
rows flagged at most the share --rate is as normal, in the mean. The fewer the rows to calibrate with, the more flags it
takes to give any: the summary says how many."""

LOWEST, RATE = 5, 0.05


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    _check_rate(options)
    fitted = read_run(options.run)
    words = [word for word in (options.data, options.calibration) if word is not None]
    kept = (fitted.folder / PREDICTIONS, *(file for word in words for file in Request(word).files))
    target = None if options.output is None else check_table(Path(options.output), *kept)
    model = fitted.load()
    with new_rows():
        opened = [fitted.open(word, model).rows for word in words]
        found, *normal = [np.concatenate([block for _, block in scores(model, rows)]) for rows in opened]
    columns = {"row": np.arange(len(found)), "score": found}
    summary = _summary(found)
    for rows in normal:
        rate = options.rate or RATE
        columns |= _judged(found, rows, rate)
        summary |= _flags(columns["flag"], len(rows), rate)
    if target is not None:
        with new_table(target, len(found)) as table:
            table.append(columns)
        summary["written"] = str(target)
    print_result(options, summary, {**summary, "lowest rows": ", ".join(map(str, summary["lowest rows"]))})


def _check_rate(options: argparse.Namespace) -> None:
    """Miss what is missing before anything is scored."""
    if options.rate is None:
        return
    if options.calibration is None:
        raise ConfigError("--rate needs --calibration: normal rows that the model was not fitted on.")
    false_discovery_control(np.ones(1), options.rate)


def _judged(found: np.ndarray, normal: np.ndarray, rate: float) -> dict[str, np.ndarray]:
    """Return p-values (n,) and flags (n,) of scores (n,), by those of normal rows (k,)."""
    p = conformal_pvalues(-found, -normal)
    return {"pvalue": p, "flag": false_discovery_control(p, rate).astype(np.int64)}


def _flags(flags: np.ndarray, n_normal: int, rate: float) -> dict[str, Any]:
    """Return how many rows are flagged, and how many have to stand out before any can be."""
    fewest = fewest_discoveries(len(flags), n_normal, rate)
    return {"flagged": int(flags.sum()), "fewest flags": fewest if fewest <= len(flags) else "none possible"}


def _summary(found: np.ndarray) -> dict[str, Any]:
    """Return figures of the finite scores, and the rows that have the lowest."""
    finite = found[np.isfinite(found)]
    tell_unscored(len(found) - len(finite), len(found))
    names = ("lowest", "1 % quantile", "median", "highest")
    quantiles = np.quantile(finite, [0, 0.01, 0.5, 1]).tolist() if len(finite) else [None] * len(names)
    mean = float(finite.mean()) if len(finite) else None
    lowest = np.argsort(found, kind="stable")[:LOWEST].tolist()
    return {"rows": len(found), "mean": mean, **dict(zip(names, quantiles)), "lowest rows": lowest}


def _parser() -> Parser:
    parser = Parser("score", _DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="run folder, or model folder")
    parser.add_argument("data", metavar="DATA", help="file, folder of Parquet or Arrow files, or data set")
    parser.add_argument("-o", "--output", metavar="FILE", help="scores.parquet, .csv or .npy")
    calibration = "normal rows that the model was not fitted on: adds p-values and flags"
    parser.add_argument("--calibration", metavar="DATA", help=calibration)
    rate = f"share of the flags that may be wrong, in the mean ({RATE})"
    parser.add_argument("--rate", type=float, metavar="SHARE", help=rate)
    add_common_options(parser)
    return parser
