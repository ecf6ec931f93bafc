"""An experiment as data: a paper's numbers are `Claim`s, what can be run are `Row`s, a table is an `Experiment`.

A runner is a function ``run(row, seed, data) -> metrics``: the name of the row, the seed, what the row's ``load``
returned for its data set. It returns numbers by name, or lists of numbers for curves; what else a reader should know
may stand under the key ``settings``. One that takes hours may also take a folder ``checkpoint``, from which it goes on
after it was stopped; it then tells the seconds of earlier sittings under ``earlier_seconds``. Labels stay inside
``data``, where only its scorer reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["METRICS", "Absent", "Claim", "Curve", "Experiment", "Load", "Metric", "Row", "Run", "Study", "Sweep"]

Run = Callable[..., Mapping[str, Any]]
Load = Callable[[str], Any]
Absent = Callable[[str], str]


@dataclass(frozen=True)
class Metric:
    """A score: its name in records, its heading, its direction.

    Attributes
    ----------
    name, title : str
    margin : float
        A mean this near to a paper's number counts as that number: rounding, libraries, unstated settings.
    higher : bool
        Whether more is better.
    ideal : float, optional
        What is best, where neither more nor less is.
    """

    name: str
    title: str
    margin: float = 0.01
    higher: bool = True
    ideal: float | None = None

    def merit(self, value: float) -> float:
        """Return a number that is the higher the better the value is."""
        if self.ideal is not None:
            return -abs(value - self.ideal)
        return value if self.higher else -value


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy"),
        Metric("nmi", "NMI"),
        Metric("nmi_arithmetic", "NMI (arithmetic)"),
        Metric("ari", "ARI"),
        Metric("initial_accuracy", "accuracy of the start"),
        Metric("exemplar_accuracy", "exemplar accuracy"),
        Metric("purity", "purity"),
        Metric("objective", "objective per row"),
        Metric("precision", "precision"),
        Metric("recall", "recall"),
        Metric("f1", "F1"),
        Metric("auroc", "AUROC", 0.005),
        Metric("average_precision", "average precision"),
        Metric("knn_error_3", "error, k = 3", 0.002, higher=False),
        Metric("knn_error_5", "error, k = 5", 0.002, higher=False),
        Metric("knn_error_10", "error, k = 10", 0.002, higher=False),
        Metric("mode_error", "mode error", 0.1, higher=False),
        Metric("variance_error", "|variance ratio - 1|", 0.05, higher=False),
        Metric("variance_ratio", "variance ratio", ideal=1.0),
        Metric("effective_components", "effective components", 0.2),
        Metric("distinct_components", "distinct components", 0.2),
        Metric("mixture_distinct_components", "distinct components of p(z|x,w)", 0.2),
        Metric("used_components", "components with 1 % of the rows", 0.2),
        Metric("ambiguity", "ambiguity", higher=False),
        Metric("one_class", "samples of one class"),
        Metric("classes", "classes generated", 0.2),
        Metric("one_class_sure", "the same, posterior 0.999 up"),
        Metric("judge_error", "error of the judge", higher=False),
    )
}


@dataclass(frozen=True)
class Claim:
    """A number that a paper prints.

    Attributes
    ----------
    paper, table : str
        Key of the paper and its table, "jiang2017" and "table2".
    row, metric : str
        As in `Row` and `METRICS`.
    value : float
        As a share where the paper has percent.
    sd : float, optional
        Standard deviation over runs, where the paper gives it.
    note : str
        How the paper came to it, where that differs from a mean over seeds.
    protocol : str, optional
        The paper's protocol, where it is not the row's: the two numbers are then shown, not compared.
    quoted : bool
        The paper took the number from another one.
    """

    paper: str
    table: str
    row: str
    metric: str
    value: float
    sd: float | None = None
    note: str = ""
    protocol: str | None = None
    quoted: bool = False


@dataclass(frozen=True)
class Row:
    """One line of a table: what is run, on what, judged how, beside what.

    Attributes
    ----------
    name : str
        Data set and method, "mnist/vade"; patterns of ``--row`` are matched with it.
    run : callable, optional
        ``run(name, seed, data) -> metrics``; None where this version has no runner.
    load : callable, optional
        Returns the data for the part of the name before the stroke; may raise DataError if they are not there.
    protocol : str
        Which rows are trained on and judged, in words that fit a table.
    nulls : tuple of str
        Names of the rows that it has to beat.
    deviations : str
        From the paper.
    cost : float, optional
        Seconds for one seed on two cores, roughly; the median of the records replaces it.
    shared : str
        Neighbouring rows of one such name share what is trained on a seed, so that they belong in one process.
    absent : callable, optional
        Says which data are not here and how to get them, "" if all are, reading none of them; for data that `load`
        does not fetch.
    resumable : bool
        Whether `run` takes a folder for checkpoints.
    """

    name: str
    run: Run | None = None
    load: Load | None = None
    protocol: str = "all rows"
    nulls: tuple[str, ...] = ()
    deviations: str = ""
    cost: float | None = None
    shared: str = ""
    absent: Absent | None = None
    resumable: bool = False

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.name.partition("/")[0]


@dataclass(frozen=True)
class Curve:
    """A metric that is a list of numbers, drawn by ``--figures``: one figure for each data set, one line for each row.

    Attributes
    ----------
    metric, title : str
        Its name in records, and what its numbers are.
    x : str
        What is on the other axis.
    grid : tuple of float
        Where the numbers stand there; 1, 2, 3, ... if empty.
    """

    metric: str
    title: str
    x: str = "epoch"
    grid: tuple[float, ...] = ()


@dataclass(frozen=True)
class Sweep:
    """A figure across rows, drawn by ``--figures``: a metric over what distinguishes them.

    Attributes
    ----------
    name, metric, x : str
        Name of the file, what is drawn, what is on the other axis.
    lines : mapping
        Label -> (place on the axis, name of the row), in order.
    """

    name: str
    metric: str
    x: str
    lines: Mapping[str, tuple[tuple[float, str], ...]]


@dataclass(frozen=True)
class Study:
    """A runner that does all seeds of many rows in one program, and keeps records in a form of its own.

    Attributes
    ----------
    run : callable
        (names of the rows, folder, processes, whether to run anew) -> None; adds what they lack to its file.
    read : callable
        folder -> the records of its file, one for each row and seed.
    """

    run: Callable[[Sequence[str], Path, int, bool], None]
    read: Callable[[Path], list[Any]]


@dataclass(frozen=True)
class Experiment:
    """A table of a paper.

    Attributes
    ----------
    id : str
        Paper and table, "jiang2017/table2".
    title, source : str
    metrics : tuple of str
        The columns; the first `always` are shown for every row, the others where the paper has a claim or on request.
    rows : tuple of Row
    claims : tuple of Claim
    seeds : int
        How many a claim needs.
    curves : tuple of Curve
    sweeps : tuple of Sweep
    study : Study, optional
        Runs the rows, in place of a runner for each.
    always : int
        How many of the columns are shown for every row.
    """

    id: str
    title: str
    source: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...] = ()
    seeds: int = 10
    curves: tuple[Curve, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    study: Study | None = None
    always: int = 1

    def runs(self, row: Row) -> bool:
        """Whether this version can run a row."""
        return row.run is not None or self.study is not None

    @property
    def paper(self) -> str:
        """Key of the paper."""
        return self.id.partition("/")[0]

    @property
    def table(self) -> str:
        """Name of the table in the paper."""
        return self.id.partition("/")[2]

    @property
    def stem(self) -> str:
        """Name of the files of its records, without ending."""
        return self.id.replace("/", "-")

    def row(self, name: str) -> Row:
        """Return a row by name; KeyError if there is none."""
        return {row.name: row for row in self.rows}[name]

    def claim(self, row: str, metric: str) -> Claim | None:
        """Return what the paper says of a row in a metric."""
        return next((claim for claim in self.claims if (claim.row, claim.metric) == (row, metric)), None)
