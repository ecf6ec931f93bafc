"""``steinmix score RUN DATA``: how normal new rows are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._typing import Source
from .inputs import open_like
from .outputs import check_table, new_table
from .parsing import Parser, add_common_options
from .predictions import scores
from .records import read_run
from .show import print_json, print_pairs

__all__ = ["run"]

_DESCRIPTION = """\
Score every row of DATA by the model's log-density, or a lower bound of it: high is normal, low is unusual.
With -o the scores are written as row, score; the summary is printed in any case."""

LOWEST = 5


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    target = None if options.output is None else check_table(Path(options.output))
    fitted = read_run(options.run)
    model = fitted.load()
    request = fitted.request
    rows = open_like(options.data, fitted.feature_names, request.left_out if request else (), fitted.categories).rows
    found = _scored(model, rows, target)
    summary = _summary(found) | ({} if target is None else {"written": str(target)})
    if options.json:
        print_json(summary)
    elif not options.quiet:
        print_pairs({**summary, "lowest rows": ", ".join(map(str, summary["lowest rows"]))})


def _scored(model: Any, rows: Source, target: Path | None) -> np.ndarray:
    """Return the scores (n,), after writing them where that is asked for."""
    if target is None:
        return np.concatenate([block for _, block in scores(model, rows)])
    found = []
    with new_table(target, rows.n_rows) as table:
        for index, block in scores(model, rows):
            table.append({"row": index.astype(np.int64), "score": block})
            found.append(block)
    return np.concatenate(found)


def _summary(found: np.ndarray) -> dict[str, Any]:
    quantiles = np.quantile(found, [0, 0.01, 0.5, 1]).tolist()
    names = ("lowest", "1 % quantile", "median", "highest")
    lowest = np.argsort(found, kind="stable")[:LOWEST].tolist()
    return {"rows": len(found), "mean": float(found.mean()), **dict(zip(names, quantiles)), "lowest rows": lowest}


def _parser() -> Parser:
    parser = Parser("score", _DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="run folder, or model folder")
    parser.add_argument("data", metavar="DATA", help="file, folder of files, or data set")
    parser.add_argument("-o", "--output", metavar="FILE", help="scores.parquet, .csv or .npy")
    add_common_options(parser)
    return parser
