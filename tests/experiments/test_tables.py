"""Numbers from records, and the rules of the verdicts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from steinmix.experiments import METRICS, Claim, Row
from steinmix.experiments.records import by_key
from steinmix.experiments.tables import curve_of, lines, summarise, verdict

ACCURACY, ERROR = METRICS["accuracy"], METRICS["knn_error_3"]


def table(experiment, records, **columns):
    found = lines(experiment, by_key(records), experiment.rows, **columns)
    return {(line.row.name, line.metric.name): line for line in found}


def test_summary_against_scipy(record):
    values = [0.5, 0.61, 0.58, 0.7]
    ours = summarise([record(i, accuracy=v, objective=-i) for i, v in enumerate(values)], ACCURACY)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (ours.n, ours.failed) == (4, 0)
    assert ours.mean == pytest.approx(np.mean(values))
    assert ours.sd == pytest.approx(np.std(values, ddof=1))
    assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))
    assert (ours.smallest, ours.largest) == (0.5, 0.7)
    assert ours.chosen == 0.5  # seed 0 has the best objective


def test_few_seeds_have_no_interval(record):
    one = summarise([record(0, accuracy=0.5)], ACCURACY)
    assert (one.mean, one.sd, one.low, one.chosen) == (0.5, None, None, None)
    assert summarise([], ACCURACY).mean is None
    failed = summarise([record(0, failure="DivergedError: x"), record(1, accuracy=0.5)], ACCURACY)
    assert (failed.n, failed.failed) == (1, 1)


def test_lines_come_from_records(experiment, record):
    records = [record(i, accuracy=0.5 + i / 10, initial_accuracy=0.45, nmi=0.3) for i in range(2)]
    records += [record(0, "set/null", accuracy=0.4), record(0, "set/method", "another protocol", accuracy=1.0)]
    found = table(experiment, records)
    assert set(found) == {("set/null", "accuracy"), ("set/method", "accuracy"), ("set/other", "accuracy")}
    line = found["set/method", "accuracy"]
    assert line.ours.mean == pytest.approx(0.55)  # the other protocol's record does not count
    assert line.claim.value == 0.5
    assert line.null == ("its own start", 0.45)
    assert found["set/null", "accuracy"].verdict == "no claim"
    assert found["set/other", "accuracy"].verdict == "not run here"
    records += [record(1, "set/null", accuracy=0.6)]
    assert table(experiment, records)["set/method", "accuracy"].null == ("set/null", 0.5)
    assert ("set/method", "nmi") in table(experiment, records, metrics=["nmi"])


@pytest.mark.parametrize(
    ("values", "metric", "claim", "expected"),
    [
        ([0.500, 0.502, 0.501], ACCURACY, {}, "reproduced"),
        ([0.509, 0.509, 0.509], ACCURACY, {}, "reproduced"),
        ([0.511, 0.511, 0.511], ACCURACY, {}, "above the paper"),
        ([0.489, 0.489, 0.489], ACCURACY, {}, "not reproduced"),
        ([0.489, 0.489, 0.489], ACCURACY, {"sd": 0.02}, "reproduced"),
        ([0.2, 0.9, 0.6], ACCURACY, {}, "undecided"),
        ([0.3], ACCURACY, {}, "undecided"),
        ([0.505], ACCURACY, {}, "reproduced"),
        ([0.490, 0.490, 0.490], ERROR, {}, "above the paper"),
        ([0.510, 0.510, 0.510], ERROR, {}, "not reproduced"),
        ([0.5, 0.5], ACCURACY, {"protocol": "other rows"}, "protocol differs"),
        ([0.5, 0.5], ACCURACY, {"protocol": "all rows"}, "reproduced"),
        ([], ACCURACY, {}, "not run here"),
        ([], ACCURACY, {"protocol": "other rows"}, "not run here"),
    ],
)
def test_verdicts(record, values, metric, claim, expected):
    records = [record(seed, **{metric.name: value}) for seed, value in enumerate(values)]
    promised = Claim("p", "t", "r", metric.name, 0.5, **claim)
    assert verdict(promised, Row("r"), summarise(records, metric), metric) == expected


def test_a_failed_seed_spoils_the_verdict(record):
    records = [record(0, accuracy=0.5), record(1, accuracy=0.5), record(2, failure="CollapseError: one cluster")]
    ours = summarise(records, ACCURACY)
    assert verdict(Claim("p", "t", "r", "accuracy", 0.5), Row("r"), ours, ACCURACY) == "not reproduced"
    assert verdict(None, Row("r"), ours, ACCURACY) == "no claim"


def test_curves_end_where_the_shortest_ends(record):
    points = curve_of([record(0, c=[0.1, 0.2, 0.3]), record(1, c=[0.3, 0.4]), record(2, accuracy=1.0)], "c")
    assert [p.mean for p in points] == pytest.approx([0.2, 0.3])
    assert all(p.n == 2 and p.low < p.mean < p.high for p in points)
    assert curve_of([record(0)], "c") == []


def test_a_number_that_is_missing_in_a_record_is_not_a_zero(record):
    ours = summarise([record(0, accuracy=0.5), record(1, accuracy=None)], ACCURACY)
    assert ours.n == 1
    assert not math.isnan(ours.mean)
    assert replace(ours).mean == 0.5
