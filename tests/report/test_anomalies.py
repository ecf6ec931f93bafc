"""The page of a detector."""

import numpy as np
import pytest

import steinmix as sm
from steinmix.metrics import average_precision, detection_scores
from steinmix.random import Streams
from steinmix.report import detections, null_rows, words, write_report
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


NAMES = ["DAGMM", "untrained network", "nearest neighbours", "Mahalanobis distance", "isolation forest"]


def test_a_detector_stands_beside_simpler_ones(detector, rows):
    before = {k: v.clone() for k, v in detector.module_.state_dict().items()}
    found = null_rows(detector, rows)
    assert [row["name"] for row in found] == NAMES
    assert all(set(row["scores"]) == {"shared_flags"} and row["labels"] is None for row in found)
    assert found[0]["scores"]["shared_flags"] == 1.0
    assert all(0 <= row["scores"]["shared_flags"] <= 1 for row in found)
    assert all(bool((v == before[k]).all()) for k, v in detector.module_.state_dict().items())


def test_known_outliers_judge_all_rows_alike(detector, rows):
    known = np.zeros(len(rows), int)
    known[[7, 20, 30]] = 1
    found = {row["name"]: row["scores"] for row in null_rows(detector, rows, known)}
    own = detection_scores(known, detector.anomaly_score(rows), threshold=-detector.offset_)
    assert found["DAGMM"] == {"shared_flags": 1.0} | {k: v for k, v in own.items() if k != "threshold"}
    gap = (rows - rows.mean(0)) / rows.std(0)
    distance = np.einsum("ij,ij->i", gap @ np.linalg.inv(np.cov(gap.T) + 0.01 * np.eye(5)), gap)
    assert found["Mahalanobis distance"]["average_precision"] == pytest.approx(average_precision(known, distance))


def test_flags_are_as_many_as_the_methods(detector, rows, monkeypatch):
    monkeypatch.setattr(detections, "_scorings", lambda *_: reversed_order(detector, rows))
    first, second = null_rows(detector, rows)
    assert (first["scores"]["shared_flags"], second["scores"]["shared_flags"]) == (1.0, 0.0)


def reversed_order(detector, rows):
    """The detector, and one that turns its order round."""
    scores = detector.anomaly_score(rows)
    return [("own", "", scores), ("reversed", "", -scores)]


def test_labels_of_classes_judge_no_detector(detector, rows):
    assert set(null_rows(detector, rows, np.arange(len(rows)) % 3)[0]["scores"]) == {"shared_flags"}


def test_nothing_flagged_shares_nothing(detector, rows):
    quiet = sm.DAGMM(2, training=sm.Training(epochs=1, progress=False), random_state=0).fit(rows).set_threshold(-1e9)
    assert all(row["scores"]["shared_flags"] is None for row in null_rows(quiet, rows))


def test_the_page_shows_scores_threshold_and_collapse(detector, rows, tmp_path):
    known = (np.arange(len(rows)) == 7).astype(int)
    page = write_report(detector, rows, None, tmp_path / "page.html", labels=known).read_text()
    assert "Histogram of the scores" in page
    assert "your outliers" in page
    assert "In AUROC, DAGMM (" in page
    assert 'id="collapse"' in page
    assert "your outliers" not in write_report(detector, rows, None, tmp_path / "page.html").read_text()


def test_the_headline_tells_what_is_flagged(detector, rows, tmp_path):
    page = write_report(detector, rows, None, tmp_path / "page.html").read_text()
    assert f"<strong>{words.percent((detector.predict(rows) == -1).mean())}</strong>" in page
    assert f"scores below {words.figure(detector.offset_)}" in page
