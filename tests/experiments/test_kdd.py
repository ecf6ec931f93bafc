"""The runner on a small table in place of the file, and the null rows."""

import numpy as np
import pytest

from steinmix.errors import ConfigError
from steinmix.experiments import detectors, kdd
from steinmix.experiments.protocols import KDD, split


@pytest.fixture
def table(rng):
    """800 rows of 5 columns; the anomalies lie elsewhere."""
    distinct = rng.integers(0, 400, size=800)
    target = (distinct >= 320).astype(int)
    values = rng.normal(size=(400, 5)) + 6 * (np.arange(400) >= 320)[:, None] * [1, -1, 0, 0, 0] + 3
    values[:, 4] = rng.integers(0, 2, size=400)
    return KDD(values[distinct].astype(np.float32), target, distinct, np.arange(4), np.arange(4))


@pytest.mark.parametrize("row", detectors.NULLS)
@pytest.mark.parametrize("protocol", ["Z", "D", "T", "B-oracle"])
def test_null_rows_find_what_is_plain(table, row, protocol):
    found = kdd.judge(row, protocol, 0, table)
    assert set(found) == {"precision", "recall", "f1", "auroc", "average_precision"}
    assert found["auroc"] > (0.5 if row == "untrained" else 0.98)


def test_our_row_finds_them_too(table):
    assert kdd.judge("ours", "Z", 0, table)["auroc"] > 0.98


def test_the_rows_say_what_they_are():
    from steinmix.experiments.protocols import PREPARATIONS

    for row in detectors.ROWS.values():
        assert row.what
        assert row.preparation in PREPARATIONS


def test_the_nearest_row_by_hand(rng):
    train, rows = rng.normal(size=(20, 3)), rng.normal(size=(5, 3))
    expected = [min(np.linalg.norm(r - t) for t in train) for r in rows]
    np.testing.assert_allclose(detectors.nearest(np.r_[train, train], rows, 0), expected)


def test_the_distance_by_hand(rng):
    train = rng.normal(size=(200, 2)) * [1, 3]
    covariance = np.cov(train.T) + 0.01 * np.eye(2)
    gap = np.array([1.0, 2.0]) - train.mean(0)
    found = detectors.mahalanobis(train, np.array([[1.0, 2.0]]), 0)
    np.testing.assert_allclose(found, gap @ np.linalg.solve(covariance, gap))


def test_a_row_is_trained_once_for_the_protocols_that_share_a_split(table, monkeypatch):
    calls = []

    def score(train, rows, seed):
        calls.append(len(train))
        return rows[:, 0]

    monkeypatch.setitem(detectors.ROWS, "mine", detectors.Row(score, "zscore38", ""))
    kdd._scores.cache_clear()
    for protocol in ("Z", "D", "T", "B-oracle"):
        kdd.judge("mine", protocol, 0, table)
    assert calls == [len(split(table, halves, 0).train) for halves in ("rows", "normal")]


def test_a_row_of_a_table_names_its_protocol(table):
    assert kdd.run("kdd/T/mahalanobis", 1, table) == kdd.judge("mahalanobis", "T", 1, table)


def test_unknown_names(table):
    with pytest.raises(ConfigError, match="1-nn"):
        kdd.judge("magic", "Z", 0, table)
    with pytest.raises(ConfigError, match="B-oracle"):
        kdd.judge("1-nn", "A", 0, table)
