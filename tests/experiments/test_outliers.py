"""Detectors on small tables: which rows they see, and how they are judged."""

import numpy as np
import pytest

from steinmix.experiments import outliers
from steinmix.experiments.outliers import METHODS, NULLS, Table, load, run


@pytest.fixture
def table(rng):
    """300 rows on a plane and 30 that are far off it; 10 of these are taken."""
    rows = rng.normal(size=(330, 2)) @ rng.normal(size=(2, 6))
    rows[300:] += 9 * rng.normal(size=(30, 6))
    return Table(rows.astype(np.float32), np.arange(330) >= 300, 10)


@pytest.mark.parametrize(("name", "shape", "outlying"), [("wine", (178, 13), 48), ("digits-8", (1797, 64), 174)])
def test_tables(name, shape, outlying):
    found = load(name)
    assert (found.rows.shape, int(found.outlier.sum())) == (shape, outlying)


def test_a_seed_draws_its_outliers_and_no_method_sees_which(table, monkeypatch):
    seen = []

    def score(rows, seed):
        seen.append(rows)
        return np.arange(len(rows))

    monkeypatch.setattr(outliers, "METHODS", {"spy": score})
    for seed in (0, 0, 1):
        assert run("any/spy", seed, table) == pytest.approx({"auroc": 1.0, "average_precision": 1.0, "f1": 1.0})
    assert all(np.array_equal(rows[:300], table.rows[:300]) and len(rows) == 310 for rows in seen)
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


@pytest.mark.parametrize("name", [*NULLS, "dagmm"])
def test_they_find_what_is_plain(table, name):
    assert run(f"any/{name}", 0, table)["auroc"] > (0.6 if name == "untrained" else 0.95)


def test_the_consensus_is_of_five(table):
    scores = METHODS["dagmm-consensus"](table.rows[:40], 0)
    assert scores.shape == (40,)
