"""p-values and flags from the command line."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import steinmix as sm
from steinmix.metrics import conformal_pvalues, false_discovery_control
from steinmix.random import Streams


@pytest.fixture
def parts(blobs, tmp_path):
    """Files of rows: to fit, normal ones that are new, and new ones of which the last five lie far off."""
    x, _ = blobs
    order = Streams(0).numpy("order").permutation(90)
    files = {}
    for name, index in (("fit", order[:40]), ("normal", order[40:80]), ("new", order[80:])):
        rows = np.vstack([x[index], x[:5] + 500]) if name == "new" else x[index]
        np.save(tmp_path / f"{name}.npy", rows)
        files[name] = tmp_path / f"{name}.npy"
    return files


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_flags_are_those_of_the_procedure(cli, fit, parts, tmp_path, rate):
    run, _ = fit(parts["fit"])
    out = tmp_path / "scores.parquet"
    options = ("--calibration", parts["normal"], *(() if rate == 0.05 else ("--rate", rate)))
    code, text, err = cli("score", run, parts["new"], "-o", out, *options, "--json")
    assert (code, err) == (0, "")
    model = sm.load(run / "model")
    new, normal = (-model.score_samples(np.load(parts[name])) for name in ("new", "normal"))
    p = conformal_pvalues(new, normal)
    found = pq.read_table(out).to_pydict()
    assert list(found) == ["row", "score", "pvalue", "flag"]
    assert np.array_equal(found["pvalue"], p)
    assert np.array_equal(found["flag"], false_discovery_control(p, rate))
    told = json.loads(text)
    assert told["flagged"] == sum(found["flag"])
    assert told["fewest flags"] == {0.05: 8, 0.3: 2}[rate]  # 15 rows, by 40
    if rate == 0.3:
        assert found["flag"][-5:] == [1] * 5


def test_a_rate_needs_rows_to_calibrate_with(refused, fit, parts):
    run, _ = fit(parts["fit"])
    assert "--rate needs --calibration" in refused("score", run, parts["new"], "--rate", "0.1")
    assert "rate" in refused("score", run, parts["new"], "--rate", "2", "--calibration", parts["normal"])
    assert "no file" in refused("score", run, parts["new"], "--calibration", "nothing.csv")


def test_rows_too_few_to_flag_anything_are_told(cli, fit, parts, tmp_path):
    run, _ = fit(parts["fit"])
    np.save(tmp_path / "few.npy", np.load(parts["normal"])[:10])
    _, text, _ = cli("score", run, parts["new"], "--calibration", tmp_path / "few.npy")
    assert "none possible" in text
