"""Tables, from records alone: the paper's number beside ours, the null rows, and a verdict by stated rules.

=======================  ===========================================================================================
verdict                  when
=======================  ===========================================================================================
``not run here``         there is no record of the row in that metric
``protocol differs``     the paper judged other rows, or other data, in another way: shown, not compared
``reproduced``           the mean lies within the margin of the paper's number
``undecided``            it does not, but the 95 % interval reaches the margin, or there is one seed: more are needed
``not reproduced``       the mean is worse, by more than margin and interval
``above the paper``      the mean is better, by more than margin and interval: to be explained, not to be celebrated
``no claim``             the paper has no number there
=======================  ===========================================================================================

The margin is the paper's own standard deviation if it gives one, and at least that of the metric. A seed that failed
makes a row ``not reproduced``, whatever the others say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from .records import Key, RunRecord
from .spec import METRICS, Claim, Experiment, Metric, Row

__all__ = [
    "Groups",
    "Line",
    "Summary",
    "by_row",
    "curve_of",
    "lines",
    "records_of_row",
    "summarise",
    "t_quantile",
    "verdict",
]

Groups = Mapping[tuple[str, str], Sequence[RunRecord]]
"""Row and protocol -> records."""

CHOOSER = "objective"
"""The metric, measured without labels, by which the best of the seeds is chosen, as papers do that report one run."""


@dataclass(frozen=True)
class Summary:
    """The seeds of a row in one metric.

    Attributes
    ----------
    n, failed : int
    mean, sd, low, high : float or None
        Mean, standard deviation, and the 95 % interval of the mean (t); None where there are too few seeds.
    smallest, largest : float or None
    chosen : float or None
        The value of the seed with the best objective, where that was recorded.
    """

    n: int
    failed: int = 0
    mean: float | None = None
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    smallest: float | None = None
    largest: float | None = None
    chosen: float | None = None


@dataclass(frozen=True)
class Line:
    """A line of the table: one row in one metric.

    Attributes
    ----------
    row : Row
    metric : Metric
    claim : Claim or None
    ours : Summary
    null : tuple of (str, float) or None
        Name and mean of the best null row; a row's own start is one.
    verdict : str
    """

    row: Row
    metric: Metric
    claim: Claim | None
    ours: Summary
    null: tuple[str, float] | None
    verdict: str


def lines(
    experiment: Experiment, records: Mapping[Key, RunRecord], rows: Iterable[Row], metrics: Sequence[str] = ()
) -> list[Line]:
    """Return the table.

    Parameters
    ----------
    experiment : Experiment
    records : mapping
        As `records_of` gives them.
    rows : iterable of Row
        Those to show.
    metrics : sequence of str
        The columns; without any, those that the experiment always shows and those the paper has a claim for.
    """
    groups = by_row(records.values())
    return [
        _line(experiment, groups, row, METRICS[name])
        for row in rows
        for name in (metrics or experiment.metrics)
        if metrics or name in experiment.metrics[: experiment.always] or experiment.claim(row.name, name)
    ]


def _line(experiment: Experiment, groups: Groups, row: Row, metric: Metric) -> Line:
    own = records_of_row(groups, row)
    ours = summarise(own, metric)
    others = {null: records_of_row(groups, experiment.row(null)) for null in row.nulls}
    nulls = [(name, summarise(found, metric).mean) for name, found in others.items()]
    start = summarise(own, replace(metric, name=f"initial_{metric.name}")).mean
    nulls.append(("its own start", None if start == ours.mean else start))  # a row that is its start has not beaten it
    known = [(name, mean) for name, mean in nulls if mean is not None]
    best = max(known, key=lambda null: metric.merit(null[1]), default=None)
    claim = experiment.claim(row.name, metric.name)
    return Line(row, metric, claim, ours, best, verdict(claim, row, ours, metric))


def by_row(records: Iterable[RunRecord]) -> Groups:
    """Return the records of one experiment by row and protocol."""
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.row, record.protocol), []).append(record)
    return groups


def records_of_row(groups: Groups, row: Row) -> Sequence[RunRecord]:
    """Return the records of a row, under its present protocol."""
    return groups.get((row.name, row.protocol), ())


def curve_of(records: Sequence[RunRecord], name: str) -> list[Summary]:
    """Return the seeds of a row at each point of a curve, as far as all of them go; nothing without records."""
    found = [record for record in records if record.metrics.get(name)]
    length = min((len(record.metrics[name]) for record in found), default=0)
    at = [[replace(record, metrics={name: record.metrics[name][i]}) for record in found] for i in range(length)]
    return [summarise(point, Metric(name, name)) for point in at]


def summarise(records: Sequence[RunRecord], metric: Metric) -> Summary:
    """Return mean, spread and interval over seeds; a seed that failed counts as failed, not as absent."""
    values = {r.seed: float(r.metrics[metric.name]) for r in records if r.metrics.get(metric.name) is not None}
    failed = sum(bool(r.failure) for r in records)
    if not values:
        return Summary(0, failed)
    n, mean = len(values), fmean(values.values())
    sd = stdev(values.values()) if n > 1 else None
    half = None if sd is None else t_quantile(n - 1) * sd / math.sqrt(n)
    return Summary(
        n,
        failed,
        mean,
        sd,
        None if half is None else mean - half,
        None if half is None else mean + half,
        min(values.values()),
        max(values.values()),
        _chosen(records, values),
    )


def t_quantile(freedom: int) -> float:
    """Return the 0.975 quantile of Student's t, by which a 95 % interval of a mean is so many standard errors wide."""
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def _chosen(records: Sequence[RunRecord], values: Mapping[int, float]) -> float | None:
    scored = {r.seed: r.metrics[CHOOSER] for r in records if r.metrics.get(CHOOSER) is not None and r.seed in values}
    return values[max(scored, key=lambda seed: scored[seed])] if len(scored) > 1 else None


def verdict(claim: Claim | None, row: Row, ours: Summary, metric: Metric) -> str:
    """Return the verdict by the rules of this module."""
    if ours.mean is None and not ours.failed:
        return "not run here"
    if claim is None:
        return "no claim"
    if claim.protocol is not None and claim.protocol != row.protocol:
        return "protocol differs"
    if ours.mean is None or ours.failed:
        return "not reproduced"
    margin = max(metric.margin, claim.sd or 0.0)
    better = (ours.mean - claim.value) * (1 if metric.higher else -1)
    if abs(better) <= margin:
        return "reproduced"
    half = math.inf if ours.high is None else ours.high - ours.mean
    if abs(better) <= margin + half:
        return "undecided"
    return "above the paper" if better > 0 else "not reproduced"
