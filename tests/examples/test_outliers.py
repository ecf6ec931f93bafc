"""The example of outliers, on flows made up: what it knows comes from the rows it trains on, and its promise holds."""

import numpy as np
import pandas as pd
import pytest

import steinmix as sm

EXAMPLE = "outliers"


@pytest.fixture
def flows(example, rng):
    """2,000 flows; the outliers' numbers are shifted, and their service is often one that no other flow has."""
    kind = rng.choice(["smurf.", "neptune.", "normal."], size=2000, p=[0.5, 0.3, 0.2])
    found = pd.DataFrame(rng.normal(size=(2000, len(example.NAMES))), columns=example.NAMES)
    found.loc[kind == "normal.", ["x5", "x8", "x9"]] += 6
    for name in example.CATEGORIES:
        found[name] = rng.choice(["a", "b", "c"], size=2000)
    found.loc[(kind == "normal.") & (found["service"] == "a"), "service"] = "rare"
    found["label"] = kind
    return found


def test_parts_are_disjoint_and_train_on_normal_rows(example, flows):
    parts = example.divide(flows.assign(x0=np.arange(2000.0)), 300)
    seen = [set(part["x0"]) for part in parts[:3]]
    assert sum(map(len, seen)) == len(set.union(*seen)) == 2000
    outliers = set(np.flatnonzero(flows["label"] == "normal."))
    assert not (seen[0] | seen[1]) & outliers
    assert np.array_equal(parts.outlier, np.isin(parts.judged["x0"], list(outliers)))
    assert all("label" not in part for part in parts[:3])


def test_it_finds_them_with_few_false_alarms(example, flows):
    parts = example.divide(flows, 400)
    detector, known = example.fitted(parts.train)
    assert known == {name: ["a", "b", "c"] for name in example.CATEGORIES}
    with pytest.warns(sm.UnknownCategoryWarning, match="'service' that is not known \\('rare'\\)"):
        scores, flagged = example.flags(detector, known, parts)
    assert sm.metrics.area_under_roc(parts.outlier, scores) > 0.95
    assert parts.outlier[flagged].mean() > 0.85
    assert flagged[parts.outlier].mean() > 0.5
