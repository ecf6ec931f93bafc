"""``steinmix report RUN``: the page of a run, made anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import ConfigError
from .inputs import open_data
from .parsing import Parser, add_common_options
from .predictions import has_clusters, is_detector
from .records import page_record, read_run
from .show import print_json, print_pairs

__all__ = ["run"]

_DESCRIPTION = """\
Make report.html of a run again, from its model and the data that run.json names.
If the data lie elsewhere now, say where with --data."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    fitted = read_run(options.run)
    request = fitted.request
    if request is None:
        raise ConfigError(f"{fitted.folder} is a model without a record; expected a run folder of `steinmix fit`.")
    request = request if options.data is None else replace(request, data=options.data)
    data = open_data(request, fitted.categories)
    model = fitted.load()
    from ..report import write_report

    judged = has_clusters(model) or is_detector(model)
    labels = data.labels() if data.labels is not None and judged else None
    path = write_report(model, data.rows, page_record(fitted.record), fitted.folder / "report.html", labels=labels)
    if options.json:
        print_json({"report": str(path)})
    elif not options.quiet:
        print_pairs({"written": str(path)})


def _parser() -> Parser:
    parser = Parser("report", _DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="run folder")
    parser.add_argument("--data", metavar="DATA", help="where the rows of the fit are now")
    add_common_options(parser)
    return parser
