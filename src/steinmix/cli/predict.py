"""``steinmix predict RUN DATA -o FILE``: labels and probabilities of new rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .inputs import Request, new_rows
from .outputs import check_table, new_table
from .parsing import Parser, add_common_options
from .predictions import write_predictions
from .records import PREDICTIONS, read_run
from .show import print_result

__all__ = ["run"]

_DESCRIPTION = """\
Write the label and the probability of each component for every row of DATA: row, label, p0, p1, ..., score.
Columns are found by name where the model was fitted on names, so DATA may have others beside them."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    fitted = read_run(options.run)
    target = check_table(Path(options.output), fitted.folder / PREDICTIONS, *Request(options.data).files)
    model = fitted.load()
    with new_rows():
        data = fitted.open(options.data, model)
        with new_table(target, data.rows.n_rows) as table:
            summary = write_predictions(model, data.rows, table)
    metrics = summary.metrics()
    words = {
        "rows": summary.n_rows,
        "effective components": metrics.get("effective_components"),
        "mean score": metrics["mean_score"],
        "written": str(target),
    }
    print_result(options, {"output": str(target), "n_rows": summary.n_rows, **metrics}, words)


def _parser() -> Parser:
    parser = Parser("predict", _DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="run folder, or model folder")
    parser.add_argument("data", metavar="DATA", help="file, folder of Parquet or Arrow files, or data set")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="labels.parquet, .csv or .npy")
    add_common_options(parser)
    return parser
