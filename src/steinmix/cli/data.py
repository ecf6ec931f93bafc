"""``steinmix data``: what there is, fetch it, look at a file, pack it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._files import new_file
from ..data.datasets import available
from ..data.pack import pack
from ..data.prepare import choose_scaling, column_statistics
from ..errors import ConfigError, unknown
from .inputs import Request, load_published, open_data
from .outputs import check_table
from .parsing import Parser, add_common_options, listed, refuse_repeated
from .show import print_json, print_pairs, print_result, print_rows, size

__all__ = ["run"]

_DESCRIPTION = """\
  steinmix data list            the published data sets by name
  steinmix data get NAME        find or download one, and verify it
  steinmix data describe DATA   shape, type, columns and scaling of a file or a data set
  steinmix data pack DATA OUT   write the rows to OUT.parquet in the layout that is read fastest
Files are looked for in the folder that STEINMIX_DATA names, then in the cache of the user."""

SHOWN_COLUMNS = 20

UNUSED = {
    "list": ("name", "output", "labels", "exclude", "categories"),
    "get": ("output", "labels", "exclude", "categories"),
    "describe": ("output",),
}
"""What is done -> arguments that have no part in it."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    refuse_repeated(argv, ("--exclude", "--categories"))
    options = _parser().parse(argv)
    _check_used(options)
    if options.action == "list":
        _list(options)
    elif options.name is None:
        raise ConfigError(
            f"steinmix data {options.action} needs a name; `steinmix data list` shows those of data sets."
        )
    elif options.action == "get":
        _get(options)
    elif options.action == "pack":
        _pack(options)
    else:
        _describe(options)


def _check_used(options: argparse.Namespace) -> None:
    """Refuse an argument that would be left out without a word."""
    for name in UNUSED.get(options.action, ()):
        if (value := getattr(options, name)) is not None:
            got = value if name in ("name", "output") else f"--{name}"
            raise ConfigError(f"got {got}, and `steinmix data {options.action}` has no use for it; leave it out.")


def _list(options: argparse.Namespace) -> None:
    titles = {name: (loader.__doc__ or "").strip().split("\n")[0] for name, loader in available().items()}
    if options.json:
        print_json(titles)
    elif not options.quiet:
        print_pairs({name: title.removeprefix("Load ") for name, title in titles.items()})


def _get(options: argparse.Namespace) -> None:
    if options.name.partition(":")[0] not in available():
        raise unknown("data set", options.name, available())
    found = load_published(options.name)
    shape, classes = list(found.data.shape), len(found.target_names)
    if options.json:
        print_json({"name": options.name, "shape": shape, "classes": classes, "description": found.DESCR})
    elif not options.quiet:
        print_pairs({"data set": options.name, "shape": f"{size(shape)}, {classes} classes"})
        print(f"\n{found.DESCR}")


def _asked(options: argparse.Namespace) -> Request:
    exclude, categories = listed(options.exclude), listed(options.categories)
    return Request(options.name, options.labels, exclude, use_labels=False, categories=categories)


def _pack(options: argparse.Namespace) -> None:
    if options.output is None or not options.output.lower().endswith(".parquet"):
        raise ConfigError(f"got the output {options.output}; expected `steinmix data pack DATA OUT.parquet`.")
    request = _asked(options)
    target, data = check_table(Path(options.output), *request.files), open_data(request)
    beside = {} if data.labels is None else {_column_name(request): data.labels()}
    with new_file(target) as temporary:
        groups = pack(data.rows, temporary, beside)
    facts = {"written": str(target), "shape": [data.rows.n_rows, data.rows.n_features], "dtype": str(data.rows.dtype)}
    facts |= {"row_groups": groups, "bytes": target.stat().st_size}
    print_result(options, facts, {**facts, "shape": size(facts["shape"])})


def _column_name(request: Request) -> str:
    """Labels of a file are packed in a column of its name, without folder and ending: that needs no file any more."""
    file = request.label_file
    return str(request.labels) if file is None else file.name.lstrip(".").partition(".")[0]


def _describe(options: argparse.Namespace) -> None:
    data = open_data(_asked(options))
    stats = column_statistics(data.rows)
    scaling = choose_scaling(stats, "auto", data.rows.dtype)
    names = data.rows.feature_names or [str(j) for j in range(data.rows.n_features)]
    figures = zip(stats.minimum, stats.maximum, stats.mean, stats.variance**0.5, scaling.shift, scaling.scale)
    words: tuple[str, ...] = ("min", "max", "mean", "sd", "shift", "scale")
    columns: dict[str, dict[str, float]] = {
        name: dict(zip(words, map(float, row))) for name, row in zip(names, figures)
    }
    if options.json:
        print_json({**data.describe(), "columns": columns})
    elif not options.quiet:
        _print_columns(data.describe(), words, columns)


def _print_columns(facts: dict[str, Any], words: Sequence[str], columns: dict[str, dict[str, float]]) -> None:
    kept = {name: value for name, value in facts.items() if name not in ("categories", "feature_names", "shape")}
    print_pairs({**kept, "shape": size(facts["shape"])})
    print_rows([["column", *words], *([n, *(v[w] for w in words)] for n, v in list(columns.items())[:SHOWN_COLUMNS])])
    if len(columns) > SHOWN_COLUMNS:
        print(f"... and {len(columns) - SHOWN_COLUMNS} more columns; --json has them all")


def _parser() -> Parser:
    parser = Parser("data", _DESCRIPTION)
    parser.add_argument("action", choices=["list", "get", "describe", "pack"])
    parser.add_argument("name", nargs="?", metavar="NAME|FILE")
    parser.add_argument("output", nargs="?", metavar="OUT.parquet")
    parser.add_argument("--labels", metavar="COLUMN|FILE", help="pack: labels to keep beside the rows, no feature")
    parser.add_argument("--exclude", metavar="COLUMNS", help="columns to leave out, with commas between")
    parser.add_argument("--categories", metavar="COLUMNS", help="columns whose values become columns of 0 and 1")
    add_common_options(parser)
    return parser
