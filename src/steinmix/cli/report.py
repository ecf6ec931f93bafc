"""``steinmix report RUN``: the page of a run, made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError
from .inputs import Data, Request, open_data
from .labels import names_file
from .parsing import Parser, add_common_options
from .predictions import has_clusters, is_detector, rows_sha256
from .records import page_record, read_run
from .show import print_result

__all__ = ["run"]

_DESCRIPTION = """\
Make report.html of a run again, from its model and the data that run.json names.
If data or labels lie elsewhere now, say where with --data and --labels."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    fitted = read_run(options.run)
    request = fitted.request
    if request is None:
        raise ConfigError(f"{fitted.folder} is a model without a record; expected a run folder of `steinmix fit`.")
    moved = {name: value for name in ("data", "labels") if (value := getattr(options, name)) is not None}
    request = replace(request, **moved)
    _check_labels(request)
    data = open_data(request, fitted.categories)
    _check_same(data, fitted.record["data"])
    model = fitted.load()
    from ..report import write_report

    judged = has_clusters(model) or is_detector(model)
    labels = data.labels() if data.labels is not None and judged else None
    path = write_report(model, data.rows, page_record(fitted.record), fitted.folder / "report.html", labels=labels)
    print_result(options, {"report": str(path)}, {"written": str(path)})


def _check_labels(request: Request) -> None:
    """Say that a file of labels is gone; as no file it would be taken for a column."""
    named = request.labels or ""
    if names_file(named) and Path(named).is_absolute() and request.label_file is None:
        raise DataError(f"there is no file {named} of labels; say with --labels where it is now.")


def _check_same(data: Data, known: Mapping[str, Any]) -> None:
    """Refuse other rows than those of the fit, or in another order: labels and starts are by position."""
    found = data.describe()
    if found["shape"] != known["shape"]:
        differs = f"its shape is {found['shape']}, and was {known['shape']}"
    elif found["feature_names"] != known["feature_names"]:
        differs = "its columns have other names or another order"
    elif known.get("rows_sha256") not in (None, rows_sha256(data.rows)):  # None: a record of an earlier version
        differs = "its values, their type or their order differ"
    else:
        return
    raise DataError(f"{data.name} does not hold the rows of the fit: {differs}. Name the file that does with --data.")


def _parser() -> Parser:
    parser = Parser("report", _DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("--data", metavar="DATA", help="where the rows of the fit are now")
    labels = "where their labels are now: column, or file (.npy, .csv, .parquet)"
    parser.add_argument("--labels", metavar="COLUMN|FILE", help=labels)
    add_common_options(parser)
    return parser
