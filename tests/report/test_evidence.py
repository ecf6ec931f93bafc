"""Cells, page and figures of a table, from records."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from steinmix.experiments import METRICS, Claim, Curve, Experiment, Row, Sweep
from steinmix.experiments.records import RunRecord, by_key
from steinmix.experiments.tables import lines
from steinmix.report import words
from steinmix.report.evidence import cells, draw_curves, line_record, table_cells, write_curves, write_table

EVIL = "<b>&"
ROWS = (
    Row("set/null", protocol="all", deviations=EVIL),
    Row("set/a", protocol="all", nulls=("set/null",)),
    Row("set/error", protocol="all"),
    Row("set/quoted", protocol="all"),
)
TABLE = Experiment(
    "p/t", f"A title {EVIL}", "a source", ("accuracy", "knn_error_3"), ROWS,
    (
        Claim("p", "t", "set/a", "accuracy", 0.2, sd=0.03),
        Claim("p", "t", "set/error", "knn_error_3", 0.1),
        Claim("p", "t", "set/quoted", "accuracy", 0.7, quoted=True, note=EVIL),
    ),
    curves=(Curve("by_epoch", "accuracy"),),
    sweeps=(Sweep("over-d", "accuracy", "d", {"a": ((1.0, "set/null"), (2.0, "set/a"))}),),
)  # fmt: skip


@pytest.fixture
def records():
    def one(row, seed, **metrics):
        return RunRecord("p/t", row, "all", seed, metrics, versions={}, hardware="", created="")

    found = [one("set/a", seed, accuracy=0.5 + seed / 100, by_epoch=[0.1, 0.2], objective=-seed) for seed in range(3)]
    found += [one("set/null", 0, accuracy=0.4), *(one("set/error", seed, knn_error_3=0.3 + seed) for seed in range(2))]
    return by_key(found)


def test_cells(records):
    found = {(line.row.name, line.metric.name): cells(TABLE, line) for line in lines(TABLE, records, ROWS)}
    row = found["set/a", "accuracy"]
    assert (row["paper"], row["mean"], row["worst"], row["chosen"]) == ("0.2000 ± 0.0300", "0.5100", "0.5000", "0.5000")
    assert (row["n"], row["best null row"], row["verdict"]) == ("3 of 10", "0.4000 null", "! above the paper")
    assert found["set/error", "knn_error_3"]["worst"] == "1.3000"  # of an error, the largest
    assert (found["set/quoted", "accuracy"]["paper"], found["set/quoted", "accuracy"]["mean"]) == (
        "0.7000 (quoted)",
        None,
    )


def test_empty_columns_are_left_out(records):
    heading, *_ = table_cells(TABLE, lines(TABLE, records, ROWS[:1]))
    assert heading == ["row", "metric", "mean", "worst", "n", "verdict"]


def test_plain_values(records):
    line = next(line for line in lines(TABLE, records, ROWS) if line.row.name == "set/a")
    assert line_record(line)["null"] == {"row": "set/null", "mean": 0.4}


def test_the_page_is_well_formed_and_escaped(tmp_path, records):
    table = lines(TABLE, records, ROWS)
    figures = draw_curves(TABLE, records, ROWS)
    text = write_table(TABLE, table, tmp_path / "t.html", EVIL, {"set/quoted": EVIL}, figures).read_text()
    plain = re.sub(r"<(meta[^>]*)>", r"<\1/>", text.replace("<!DOCTYPE html>", ""))
    page = ElementTree.fromstring(re.sub(r"<style>.*?</style>", "", plain, flags=re.DOTALL))
    assert EVIL not in text
    body = page.findall(".//tbody/tr")
    assert len([row for row in body if row.get("class") != "said"]) == len(table)
    loud = [row for row in body if row.findall("td[@class='own']")]
    assert len(loud) == 1  # above the paper; the error is undecided
    assert "0.5100" in text


def test_metrics_of_a_row_stand_under_one_name(tmp_path, records):
    table = lines(TABLE, records, ROWS[:1], ["accuracy", "nmi"])
    text = write_table(TABLE, table, tmp_path / "t.html", "again").read_text()
    assert text.count('rowspan="3">set/<wbr/>null <') == text.count("null <") == 1
    assert text.count("<tr>") == 3  # with the headings


def test_what_is_shown_is_explained_and_nothing_else(tmp_path, records):
    text = write_table(TABLE, lines(TABLE, records, ROWS[:1]), tmp_path / "t.html", "again").read_text()
    explained = re.findall(r"<dt>(.*?)</dt>", text)
    assert explained == ["mean, sd, worst", "n", "below a row", "verdict", "accuracy"]
    assert "no claim: " in text


def test_every_metric_has_words():
    assert METRICS.keys() == words.METRICS.keys()


def test_figures(tmp_path, records):
    figures = draw_curves(TABLE, records, ROWS)
    assert set(figures) == {"p-t-by_epoch-set", "p-t-over-d"}
    for path in write_curves(figures, tmp_path):
        ElementTree.parse(path)
    fewer = {key: record for key, record in records.items() if record.row != "set/null"}
    assert draw_curves(TABLE, fewer, ROWS)["p-t-over-d"] != figures["p-t-over-d"]
    assert draw_curves(TABLE, {}, ROWS) == {}


def test_a_null_row_is_named_by_what_differs():
    from steinmix.report.evidence import _relative

    assert _relative("kdd/Z/1-nn", "kdd/Z/dagmm") == "1-nn"
    assert _relative("toy/a/gmm/oracle", "toy/a/nsvgd/oracle") == "gmm/oracle"
    assert _relative("its own start", "set/a") == "its own start"
