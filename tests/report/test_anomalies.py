"""The page of a detector."""

import numpy as np
import pytest

import steinmix as sm
from steinmix.random import Streams
from steinmix.report import words, write_report
from steinmix.report.anomalies import LISTED, unusual_rows
from steinmix.report.records import gather


@pytest.fixture(scope="module")
def rows():
    rng = Streams(0).numpy("rows")
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5))
    x[7] += 40 * np.eye(5)[3]
    return x


@pytest.fixture(scope="module")
def detector(rows):
    return sm.DAGMM(2, contamination=0.05, training=sm.Training(epochs=5, progress=False), random_state=0).fit(rows)


def test_the_lowest_scores_come_first_with_the_columns_that_are_missed(detector, rows):
    found = unusual_rows(detector, gather(detector, rows, None, Streams(0)))
    scores = detector.score_samples(rows)
    assert [item["row"] for item in found["listed"]] == np.argsort(scores, kind="stable")[:LISTED].tolist()
    assert found["flagged"] == (scores < detector.offset_).mean()
    gaps = np.abs([column["gap"] for item in found["listed"] for column in item["columns"]]).reshape(LISTED, -1)
    assert (np.diff(gaps, axis=1) <= 0).all()
    far = next(item for item in found["listed"] if item["row"] == 7)
    assert far["columns"][0]["name"] == "3"


def test_the_headline_tells_what_is_flagged(detector, rows, tmp_path):
    page = write_report(detector, rows, None, tmp_path / "page.html").read_text()
    assert f"<strong>{words.percent((detector.predict(rows) == -1).mean())}</strong>" in page
    assert f"scores below {words.figure(detector.offset_)}" in page
