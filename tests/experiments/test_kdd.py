"""The runner on a small table in place of the file, and the null rows."""

import json

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
    found = kdd.run(row, protocol, 0, table)
    assert set(found) == {"precision", "recall", "f1", "auroc", "average_precision"}
    assert found["auroc"] > (0.5 if row == "untrained" else 0.98)


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
        kdd.run("mine", protocol, 0, table)
    assert calls == [len(split(table, halves, 0).train) for halves in ("rows", "normal")]


def test_only_what_has_no_record_is_run(table, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(kdd, "load", lambda: table)
    where = tmp_path / "new" / "records.jsonl"
    arguments = ["--protocol", "T", "B-oracle", "--row", "mahalanobis", "--output", str(where)]
    kdd.main([*arguments, "--seeds", "0-1"])
    first = where.read_text()
    kdd.main([*arguments, "--seeds", "0-2"])
    records = [json.loads(line) for line in where.read_text().splitlines()]
    assert where.read_text().startswith(first)
    assert [(r["protocol"], r["seed"]) for r in records] == [(p, s) for s in range(3) for p in ("T", "B-oracle")]
    assert capsys.readouterr().out == where.read_text()


def test_unknown_names(table):
    with pytest.raises(ConfigError, match="1-nn"):
        kdd.run("magic", "Z", 0, table)
    with pytest.raises(ConfigError, match="B-oracle"):
        kdd.run("1-nn", "A", 0, table)
