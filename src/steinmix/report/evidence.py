"""The tables of the papers as cells of text, as an HTML page, and their curves as figures: from records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from .._files import write_text
from ..experiments import METRICS, Experiment, Row
from ..experiments.records import Key, RunRecord
from ..experiments.tables import Line, Summary, by_row, curve_of, records_of_row, summarise
from . import words
from .figures import bands, require_for_report, standalone
from .render import render

__all__ = ["HEADINGS", "cells", "draw_curves", "line_record", "table_cells", "write_curves", "write_table"]

HEADINGS = ("row", "metric", "paper", "mean", "sd", "worst", "chosen", "n", "95 % interval", "best null row", "verdict")
LOUD = ("above the paper", "not reproduced")

MEANINGS = {
    "paper": "the number the paper prints; (quoted) if it took that from another paper",
    "mean, sd, worst": "over all seeds that were run, each with its own start; none is dropped",
    "chosen": "the seed with the best objective, which needs no label: how papers choose that report one run",
    "n": "seeds run, of those a claim needs; failed ones are counted apart",
    "95 % interval": "of the mean, by Student's t",
    "best null row": "the best of what one has for less: simple baselines, an untrained network, the row's own start",
    "below a row": "what differs from the paper's own way, and how the paper came to its number",
    "verdict": "reproduced: within the margin (0.01 for accuracies, or the paper's sd); not reproduced, above the "
    "paper: worse or better by more than margin and interval; undecided: more seeds are needed; protocol differs: "
    "other rows or another way of judging, so not compared; no claim: the paper prints no number there; not run here: "
    "there is no record of it",
}


def cells(experiment: Experiment, line: Line) -> dict[str, str | None]:
    """Return a line of the table as text by heading; None where there is nothing."""
    ours, claim = line.ours, line.claim
    interval = None if ours.low is None or ours.high is None else f"{ours.low:.4f} to {ours.high:.4f}"
    worst = min((v for v in (ours.smallest, ours.largest) if v is not None), key=line.metric.merit, default=None)
    quoted = " (quoted)" if claim is not None and claim.quoted else ""
    spread = f" ± {claim.sd:.4f}" if claim is not None and claim.sd is not None else ""
    failed = f" + {ours.failed} failed" if ours.failed else ""
    null = None if line.null is None else f"{line.null[1]:.4f} {_relative(line.null[0], line.row.name)}"
    return {
        "row": line.row.name,
        "metric": line.metric.title,
        "paper": None if claim is None else f"{claim.value:.4f}{spread}{quoted}",
        "mean": _number(ours.mean),
        "sd": _number(ours.sd),
        "worst": _number(worst),
        "chosen": _number(ours.chosen),
        "n": f"{ours.n}{failed} of {experiment.seeds}" if ours.n or ours.failed else None,
        "95 % interval": interval,
        "best null row": null,
        "verdict": f"! {line.verdict}" if line.verdict in LOUD else line.verdict,
    }


def table_cells(experiment: Experiment, table: Sequence[Line]) -> list[list[str | None]]:
    """Return headings and lines, without the columns that are empty throughout."""
    rows = [cells(experiment, line) for line in table]
    shown = [heading for heading in HEADINGS if any(row[heading] is not None for row in rows)]
    return [list(shown), *([row[heading] for heading in shown] for row in rows)]


def line_record(line: Line) -> dict[str, Any]:
    """Return a line as plain values."""
    return {
        "row": line.row.name,
        "metric": line.metric.name,
        "paper": None if line.claim is None else asdict(line.claim),
        "ours": asdict(line.ours),
        "null": None if line.null is None else {"row": line.null[0], "mean": line.null[1]},
        "protocol": line.row.protocol,
        "deviations": line.row.deviations,
        "verdict": line.verdict,
    }


def write_table(
    experiment: Experiment,
    table: Sequence[Line],
    path: str | Path,
    command: str,
    notes: Mapping[str, str] | None = None,
    figures: Mapping[str, str] | None = None,
) -> Path:
    """Write the table as one self-contained page.

    Parameters
    ----------
    experiment : Experiment
    table : sequence of Line
    path : path
    command : str
        What to type to get it again.
    notes : mapping of str to str, optional
        Why rows were not run, by name.
    figures : mapping of str to str, optional
        Title -> SVG, as `draw_curves` gives them.

    Raises
    ------
    ConfigError
        If the extra ``report`` is not installed.
    ModelFileError
        If the file cannot be written.
    """
    require_for_report("jinja2")
    headings, *body = table_cells(experiment, table)
    text = render(
        "evidence.html.j2",
        experiment=experiment,
        headings=headings,
        groups=_groups(table, body, notes or {}),
        meanings=_meanings(table, headings),
        command=command,
        figures=dict(figures or {}),
    )
    write_text(path, text)
    return Path(path)


def _meanings(table: Sequence[Line], headings: Iterable[str | None]) -> dict[str, str]:
    """Return what the columns that are shown mean, and the metrics."""
    shown = {"below a row", *headings}
    columns = {name: text for name, text in MEANINGS.items() if shown & set(name.split(", "))}
    return columns | {line.metric.title: words.METRICS[line.metric.name] for line in table}


def _groups(
    table: Sequence[Line], body: Iterable[list[str | None]], notes: Mapping[str, str]
) -> list[tuple[tuple[str, str, str], list[dict[str, Any]]]]:
    """Join lines that follow each other and share name, protocol and what is said of them, which then stand once."""
    keyed = [
        ((line.row.name, _protocol(line), _said(line, notes)), {"cells": own[1:], "loud": line.verdict in LOUD})
        for line, own in zip(table, body)
    ]
    return [(key, [lines for _, lines in group]) for key, group in groupby(keyed, key=itemgetter(0))]


def _protocol(line: Line) -> str:
    claim = line.claim
    return line.row.protocol + (f" (paper: {claim.protocol})" if claim is not None and claim.protocol else "")


def _said(line: Line, notes: Mapping[str, str]) -> str:
    """Return how a row differs from the paper's, how the paper came to its number, and why it was not run."""
    paper = f"paper: {line.claim.note}" if line.claim is not None and line.claim.note else ""
    return "; ".join(filter(None, (line.row.deviations, paper, notes.get(line.row.name))))


def draw_curves(experiment: Experiment, records: Mapping[Key, RunRecord], rows: Iterable[Row]) -> dict[str, str]:
    """Return the experiment's figures as SVG, by name, as far as there are records of these rows.

    One figure for each curve and data set, and one for each sweep.
    """
    require_for_report("matplotlib")
    held = by_row(records.values())
    groups = {row.name: records_of_row(held, row) for row in rows}
    figures = {}
    for curve in experiment.curves:
        for data in dict.fromkeys(name.partition("/")[0] for name in groups):
            series = {name: curve_of(own, curve.metric) for name, own in groups.items() if name.split("/")[0] == data}
            places = curve.grid or tuple(range(1, max(map(len, series.values()), default=0) + 1))
            name = f"{experiment.stem}-{curve.metric}-{data}"
            figures[name] = _drawn({k: list(zip(places, v)) for k, v in series.items()}, curve.x, curve.title, name)
    for sweep in experiment.sweeps:
        metric = METRICS[sweep.metric]
        series = {
            label: [(place, summarise(groups.get(row, ()), metric)) for place, row in points]
            for label, points in sweep.lines.items()
        }
        name = f"{experiment.stem}-{sweep.name}"
        figures[name] = _drawn(series, sweep.x, metric.title, name)
    return {name: svg for name, svg in figures.items() if svg is not None}


def _drawn(series: Mapping[str, Sequence[tuple[float, Summary]]], x: str, y: str, name: str) -> str | None:
    """Return means with 95 % intervals; None if there is nothing to draw."""
    found = {label: [(at, s) for at, s in points if s.mean is not None] for label, points in series.items()}
    lines = {
        f"{label} (n = {points[0][1].n})": (
            [at for at, _ in points],
            [(s.mean, s.mean if s.low is None else s.low, s.mean if s.high is None else s.high) for _, s in points],
        )
        for label, points in found.items()
        if points
    }
    return bands(lines, x, y, name) if lines else None


def write_curves(figures: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each figure as ``<name>.svg`` and return the paths."""
    for name, svg in figures.items():
        write_text(folder / f"{name}.svg", standalone(svg))
    return [folder / f"{name}.svg" for name in figures]


def _relative(name: str, row: str) -> str:
    """Return the name of another row without the parts that both begin with."""
    parts, own = name.split("/"), row.split("/")
    same = next((i for i, pair in enumerate(zip(parts, own)) if pair[0] != pair[1]), 0)
    return "/".join(parts[same:])


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"
