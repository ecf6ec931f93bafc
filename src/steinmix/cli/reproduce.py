"""``steinmix reproduce PAPER/TABLE``: a table of a paper, beside ours, seed by seed."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from .._machine import counted
from ..errors import ConfigError, Terminated, unknown
from ..experiments import METRICS, Experiment, Row, available, chosen_rows, find
from ..experiments.arguments import seeds as parsed_seeds
from ..experiments.records import Key, RunRecord
from ..experiments.runner import NO_RUNNER, Cell, complete, missing, records_of, unavailable, why_not
from ..experiments.tables import by_row, lines, records_of_row
from .parsing import Parser, add_common_options
from .records import command_line
from .show import print_json, print_pairs, print_rows, say

__all__ = ["run"]

NAMED_ROWS = 9
"""Rows that a note below the table names, at most."""

OUTPUT, KEPT = "results", "finished seeds are kept, and the same command goes on"

UNUSED = {"list": ("metric",), "figures": ("metric", "seeds"), "show": ("seeds",)}
"""What is done -> options that have no part in it."""

_DESCRIPTION = """\
  steinmix reproduce --list                   the tables: what is done, what is missing, what it costs
  steinmix reproduce jiang2017/table2         run what has no record yet, and print the table
  steinmix reproduce jiang2017/table2 --row 'digits/*' --seeds 0-1
  steinmix reproduce --figures                draw curves and pictures anew; nothing is run
A record, one JSON line, is kept for each finished seed in OUTPUT/PAPER-TABLE*.jsonl; stop at any time, and the same
command goes on. Records of other machines count when their files lie there too. Labels are used for scores only."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    from joblib import cpu_count

    options = _parser().parse(argv)
    _check_used(options)
    options.jobs = options.jobs or cpu_count()  # one-thread processes get more done than one of many threads
    folder = Path(options.output)
    _check_folder(options, folder)
    if options.figures:
        _figures(options, folder)
    elif options.list:
        _list(options, folder)
    elif options.table is None:
        raise ConfigError(f"got no PAPER/TABLE; expected one of {', '.join(available())}, or --list.")
    else:
        _table(options, folder, command_line("reproduce", argv))


def _check_used(options: argparse.Namespace) -> None:
    """Refuse an option that would be left out without a word."""
    for action, names in UNUSED.items():
        for name in names:
            if getattr(options, action) and getattr(options, name):
                raise ConfigError(f"got --{name}, and --{action} has no use for it; leave one of them out.")
    if not options.table and (table := next((w for w in options.row + options.metric if w in available()), None)):
        raise ConfigError(f"got {table} as a value of --row or --metric, which take all that follows; put it first.")
    if options.row and not options.table:
        raise ConfigError("got --row and no PAPER/TABLE; give the table whose rows are meant.")


def _check_folder(options: argparse.Namespace, folder: Path) -> None:
    """Miss the folder of records before anything is run; what only reads them needs one that is there."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output {folder} is a file; expected a folder of records, or a new one.")
    if (options.show or options.figures) and not folder.exists():
        raise ConfigError(f"there is no folder {folder}; name the one that holds the records with --output.")


def _table(options: argparse.Namespace, folder: Path, command: str) -> None:
    experiment = find(options.table)
    rows = chosen_rows(experiment, options.row)
    metrics = _metrics(options.metric)
    seeds = parsed_seeds(options.seeds) if options.seeds else range(experiment.seeds)
    reasons = {} if options.show else _run(options, experiment, rows, seeds, folder)
    records = records_of(experiment, folder)
    reasons = _unrun(experiment, rows, records) | reasons
    table = lines(experiment, records, rows, metrics)
    page = _page(experiment, table, records, rows, folder, command, reasons)
    from ..report.evidence import line_record, table_cells

    if options.json:
        written = None if page is None else str(page)
        found = {"experiment": experiment.id, "rows": [line_record(line) for line in table]}
        print_json(found | {"not_run": reasons, "report": written})
    elif not options.quiet:
        print(f"{experiment.source}: {experiment.title}")
        print_rows(table_cells(experiment, table))
        _print_notes(experiment, rows, reasons)
        print_pairs({"records": str(folder), "page": page and str(page)})


def _run(
    options: argparse.Namespace, experiment: Experiment, rows: Sequence[Row], seeds: Sequence[int], folder: Path
) -> dict[str, str]:
    """Run what is missing and return why rows cannot be run here."""
    if options.fresh:
        cells = [Cell(row, seed) for row in rows if experiment.runs(row) for seed in seeds]
    else:
        cells = missing(experiment, rows, seeds, folder)
    reasons = unavailable(
        experiment, [row for row in rows if not experiment.runs(row) or row in {c.row for c in cells}]
    )
    cells = [cell for cell in cells if cell.row.name not in reasons]
    _announce(options, experiment, cells, len(rows) * len(seeds), folder)
    try:
        complete(experiment, cells, folder, options.jobs, False if options.quiet else None, options.fresh)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted; {KEPT}") from None
    except SystemExit:
        raise Terminated(f"terminated; {KEPT}") from None
    return reasons


def _unrun(experiment: Experiment, rows: Iterable[Row], records: Mapping[Key, RunRecord]) -> dict[str, str]:
    """Return why the rows without a record cannot be run here, where that is known without their data."""
    groups = by_row(records.values())
    reasons = {row.name: why_not(experiment, row) for row in rows if not records_of_row(groups, row)}
    return {name: reason for name, reason in reasons.items() if reason}


def _announce(
    options: argparse.Namespace, experiment: Experiment, cells: Sequence[Cell], asked: int, folder: Path
) -> None:
    if options.quiet or not cells:
        return
    costs = _costs(experiment, records_of(experiment, folder))
    seconds = sum(costs.get(cell.row.name) or 0.0 for cell in cells) / options.jobs
    say(f"{len(cells)} of {asked} runs to do, roughly {_duration(seconds)}; Ctrl-C keeps what is finished")


def _page(
    experiment: Experiment,
    table: Sequence[Any],
    records: Mapping[Key, RunRecord],
    rows: Sequence[Row],
    folder: Path,
    command: str,
    reasons: Mapping[str, str],
) -> Path | None:
    """Write the page beside the records, where what draws it is installed and there is something to show."""
    from importlib.util import find_spec

    if not records or find_spec("jinja2") is None or find_spec("matplotlib") is None:
        return None
    from ..report.evidence import write_table

    figures = _drawn(experiment, records, rows)
    return write_table(experiment, table, folder / f"{experiment.stem}.html", command, reasons, figures)


def _print_notes(experiment: Experiment, rows: Iterable[Row], reasons: Mapping[str, str]) -> None:
    """Print protocol and deviations, how the paper did, and why a row was not run, once for all rows that share it."""
    notes: dict[str, list[str]] = {}
    for row in rows:
        own = f"protocol: {row.protocol}", row.deviations, reasons.get(row.name, "")
        for text in (*own, *_by_paper(experiment, row)):
            if text:
                notes.setdefault(text, []).append(row.name)
    print("\n" + "\n".join(f"{_named(names)}\n    {text}" for text, names in notes.items()) + "\n")


def _by_paper(experiment: Experiment, row: Row) -> list[str]:
    """Return what the paper judged, where that is not what is judged here, and how it came to its numbers."""
    claims = [claim for claim in experiment.claims if claim.row == row.name]
    found = [f"protocol of the paper: {claim.protocol}" for claim in claims if claim.protocol]
    return list(dict.fromkeys([*found, *(f"number of the paper: {claim.note}" for claim in claims if claim.note)]))


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_ROWS} more" if len(names) > NAMED_ROWS else ""
    return ", ".join(names[:NAMED_ROWS]) + more


def _list(options: argparse.Namespace, folder: Path) -> None:
    """Print each row, or for all experiments each data set: seeds done, seeds asked for, cost of what is missing."""
    asked = parsed_seeds(options.seeds) if options.seeds else None
    found = [
        entry
        for experiment in _experiments(options)
        for entry in _status(experiment, chosen_rows(experiment, options.row), asked, folder)
    ]
    if options.json:
        print_json({"rows": found})
        return
    if options.quiet:
        return
    if not options.table:
        found = _by_data(found)
    heading = ["table", "row" if options.table else "data", "done", "asked", "to do", "state"]
    rows = ([e["experiment"], e["row"], e["done"], e["asked"], _cost(e), e["state"]] for e in found)
    print_rows([heading, *rows], left=(0, 1, len(heading) - 1))


def _experiments(options: argparse.Namespace) -> list[Experiment]:
    """Return the one that is asked for, else all."""
    return [find(options.table)] if options.table else list(available().values())


def _status(
    experiment: Experiment, rows: Iterable[Row], seeds: Sequence[int] | None, folder: Path
) -> list[dict[str, Any]]:
    """Return what is done and missing of each row; without `seeds` any count, up to as many as a claim needs."""
    records = records_of(experiment, folder)
    costs = _costs(experiment, records)
    asked = experiment.seeds if seeds is None else len(seeds)
    found = []
    for row in rows:
        kept = {r.seed for r in records.values() if (r.row, r.protocol) == (row.name, row.protocol)}
        done = len(kept if seeds is None else kept & set(seeds))
        state = "done" if done >= asked else why_not(experiment, row) or "to do"
        left = asked - done if state == "to do" else 0
        seconds = costs.get(row.name)
        found.append(
            {
                "experiment": experiment.id,
                "row": row.name,
                "done": done,
                "asked": asked,
                "seconds": None if seconds is None else left * seconds,
                "state": state,
            }
        )
    return found


def _by_data(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry for the rows of an experiment that share a data set, and another for those without a runner."""
    groups: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for entry in found:
        ours = entry["state"] != NO_RUNNER
        groups.setdefault((entry["experiment"], entry["row"].partition("/")[0], ours), []).append(entry)
    return [
        {
            "experiment": experiment,
            "row": f"{data} ({counted(len(entries), 'row')})",
            "done": sum(entry["done"] for entry in entries),
            "asked": sum(entry["asked"] for entry in entries),
            "seconds": sum(entry["seconds"] or 0.0 for entry in entries),
            "state": next((entry["state"] for entry in entries if entry["state"] != "done"), "done"),
        }
        for (experiment, data, _), entries in groups.items()
    ]


def _costs(experiment: Experiment, records: Mapping[Key, RunRecord]) -> dict[str, float | None]:
    """Return seconds for one seed by row: the median of the records, else the estimate."""
    taken: dict[str, list[float]] = {}
    for record in records.values():
        if record.wall_seconds is not None:
            taken.setdefault(record.row, []).append(record.wall_seconds)
    return {row.name: median(taken[row.name]) if row.name in taken else row.cost for row in experiment.rows}


def _cost(entry: Mapping[str, Any]) -> str | None:
    return _duration(entry["seconds"]) if entry["seconds"] else None


def _figures(options: argparse.Namespace, folder: Path) -> None:
    from ..report.evidence import write_curves

    written = []
    for experiment in _experiments(options):
        rows = chosen_rows(experiment, options.row)
        written += write_curves(_drawn(experiment, records_of(experiment, folder), rows), folder / "figures")
    if options.json:
        print_json({"figures": [str(path) for path in written]})
    elif not options.quiet:
        print("\n".join(map(str, written)) or f"no record in {folder} holds a curve or a picture; nothing was drawn")


def _drawn(experiment: Experiment, records: Mapping[Key, RunRecord], rows: Sequence[Row]) -> dict[str, str]:
    """Return curves and pictures as SVG, by name."""
    from ..report.evidence import draw_curves
    from ..report.pictures import draw_pictures

    return draw_curves(experiment, records, rows) | draw_pictures(experiment, records, rows)


def _metrics(names: Sequence[str]) -> Sequence[str]:
    for name in names:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    return names


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _parser() -> Parser:
    parser = Parser("reproduce", _DESCRIPTION)
    parser.add_argument("table", nargs="?", metavar="PAPER/TABLE")
    several: Any = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("--row", **several, metavar="PATTERN", help="rows by name, such as digits/vade or 'mnist/*'")
    parser.add_argument("--metric", **several, metavar="NAME", help="columns, in place of those the paper has")
    parser.add_argument("--seeds", metavar="0-9", help="seeds to run; as many as a claim needs unless given")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--resume", action="store_true", help="run only what has no record; this is also the default")
    how.add_argument("--fresh", action="store_true", help="run again what has a record; the newer one counts")
    how.add_argument("--show", action="store_true", help="run nothing; make the table from the records")
    how.add_argument("--list", action="store_true", help="what is done, its cost, what is missing")
    how.add_argument("--figures", action="store_true", help="draw curves, maps and galleries from the records")
    parser.add_argument("--jobs", type=_jobs, metavar="N", help="runs at a time, one thread each; as many as cores")
    output = f"folder of records and pages (default: {OUTPUT}, in the current folder)"
    parser.add_argument("--output", "-o", default=OUTPUT, metavar="DIR", help=output)
    add_common_options(parser)
    return parser


def _jobs(text: str) -> int:
    """Return a number of jobs; argparse would hide what an error of another kind says."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text!r}; expected a whole number >= 1")
    return int(text)
