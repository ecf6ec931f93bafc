"""Rows so far off that a model has no number for them."""

import json

import numpy as np
import pytest

import steinmix as sm

pytestmark = pytest.mark.filterwarnings("always::steinmix.SteinmixWarning")
TOLD = "1 of 6 rows are too far from those of the fit for a finite score; they get -inf, and count as outliers."


@pytest.fixture
def far(blobs, write):
    """Six rows, the last of them a reading of 1e30."""
    return write("far.npy", np.vstack([blobs[0][:5], np.full((1, 3), 1e30)]), np.zeros(6, int))


@pytest.fixture
def run(fit, write, monkeypatch):
    """A run whose model has no number for such rows."""
    folder, _ = fit(write("rows.npy"))
    for name in ("score_samples", "predict_proba"):
        answer = getattr(sm.GaussianMixture, name)

        def overflowing(self, x, answer=answer):
            found = answer(self, np.clip(x, -1e6, 1e6))
            found[np.abs(x).max(axis=1) > 1e6] = np.nan
            return found

        monkeypatch.setattr(sm.GaussianMixture, name, overflowing)
    return folder


def test_a_detector_flags_them(cli, write, tmp_path, far):
    run = tmp_path / "run"
    options = ("--method", "dagmm", "--training.epochs", "1", "--pretraining-epochs", "1", "--no-report", "-o", run)
    assert cli("fit", write("rows.npy"), *options, "--quiet") == (0, "", "")
    code, out, _ = cli("predict", run, far, "-o", tmp_path / "labels.npy", "--json")
    assert code == 0
    found = np.load(tmp_path / "labels.npy")
    assert found["outlier"][5] == 1
    finite = found["score"][np.isfinite(found["score"])]
    assert json.loads(out)["mean_score"] == pytest.approx(finite.mean())
    assert np.array_equal(found["outlier"] == 1, sm.load(run / "model").predict(np.load(far)) == -1)


def test_scores_of_any_model_have_them_last(cli, run, write, far):
    code, out, err = cli("score", run, far, "--calibration", write("rows.npy"), "--rate", "0.2", "--json")
    assert (code, err) == (0, f"steinmix: warning: {TOLD}\n")
    summary = json.loads(out)
    assert summary["lowest rows"][0] == 5
    assert summary["flagged"] >= 1
    assert None not in (summary["mean"], summary["lowest"], summary["median"])


def test_no_row_at_all_can_be_scored(cli, run, write):
    code, out, _ = cli("score", run, write("far.npy", np.full((2, 3), 1e30), np.zeros(2, int)))
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["rows", "lowest"]


def test_probabilities_that_are_none_are_not_written(refused, run, tmp_path, far):
    before = sorted(tmp_path.iterdir())
    assert "row 5 has no finite probabilities" in refused("predict", run, far, "-o", tmp_path / "labels.csv")
    assert sorted(tmp_path.iterdir()) == before
