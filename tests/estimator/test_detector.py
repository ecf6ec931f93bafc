"""The shell of detectors: signs, thresholds, p-values."""

import numpy as np
import pytest
import torch
from sklearn.base import is_outlier_detector

import steinmix as sm


@pytest.fixture
def X(rng):
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6))


@pytest.fixture
def detector(X):
    training = sm.Training(epochs=5, lr=1e-2)
    return sm.DAGMM(2, hidden=(6,), contamination=0.2, training=training, random_state=0).fit(X)


def test_high_is_normal_and_below_the_offset_are_outliers(detector, X):
    scores = detector.score_samples(X)
    assert is_outlier_detector(detector)
    assert np.array_equal(detector.anomaly_score(X), -scores)
    assert np.array_equal(detector.decision_function(X), scores - detector.offset_)
    assert np.array_equal(detector.predict(X) == -1, scores < detector.offset_)
    far = detector.score_samples(X[:50] * [1, -30, 20, -10, 30, 5])
    assert far.mean() < scores.mean()


def test_the_offset_leaves_the_share_below_it(detector, X):
    assert (detector.predict(X) == -1).sum() == 60
    assert detector.offset_ == np.percentile(detector.score_samples(X), 20)


def test_the_threshold_can_be_moved(detector, X):
    assert (detector.set_threshold(X=X, contamination=0.05).predict(X) == -1).sum() == 15
    assert (detector.set_threshold(X=X, contamination=0.5).predict(X) == -1).sum() == 150
    assert (detector.set_threshold(X=X).predict(X) == -1).sum() == 60
    assert (detector.set_threshold(-1e9).predict(X) == -1).sum() == 0
    share = {"contamination": 0.9}
    for wrong in ({}, {"offset": 1.0, "X": X}, {"X": X} | share, {"offset": 1.0} | share):
        with pytest.raises(sm.ConfigError):
            detector.set_threshold(**wrong)
    for offset in (np.nan, "low", [1.0, 2.0], True):
        with pytest.raises(sm.ConfigError, match="expected a finite number"):
            detector.set_threshold(offset)


def test_rows_without_a_number_are_outliers(detector, X, monkeypatch):
    rows, score = np.vstack([X[:5], np.full((1, 6), 1e9)]), detector.module_.score
    far = lambda x: x.abs().amax(dim=1) > 1e6  # noqa: E731
    monkeypatch.setattr(detector.module_, "score", lambda x: score(x).masked_fill(far(x), torch.nan))
    assert detector.score_samples(rows)[5] == -np.inf
    assert detector.predict(rows)[5] == -1
    assert detector.anomaly_pvalues(rows, X)[5] == 1 / (len(X) + 1)
    with pytest.raises(sm.ConfigError, match="offset is"):
        detector.set_threshold(X=rows[[5, 5, 0]], contamination=0.4)


def test_the_threshold_is_saved(detector, X, tmp_path):
    detector.set_threshold(X=X, contamination=0.01).save(tmp_path / "m")
    assert np.array_equal(sm.load(tmp_path / "m").predict(X), detector.predict(X))


@pytest.mark.parametrize("share", [0, -0.1, 0.6, "auto", True, None])
def test_a_wrong_contamination_is_told_before_training(X, share):
    with pytest.raises(sm.ConfigError, match="contamination"):
        sm.DAGMM(2, contamination=share, training=sm.Training(epochs=10**9)).fit(X)


@pytest.fixture
def normal_rows(rng):
    plane = rng.normal(size=(2, 6))
    return lambda n: rng.normal(size=(n, 2)) @ plane


@pytest.fixture
def well_trained(normal_rows):
    training = sm.Training(epochs=150, lr=1e-2)
    return sm.DAGMM(2, latent_dim=2, hidden=(16,), training=training, random_state=0).fit(normal_rows(300))


def test_p_values_are_valid_for_normal_rows(well_trained, normal_rows):
    p = np.concatenate([well_trained.anomaly_pvalues(normal_rows(100), normal_rows(100)) for _ in range(60)])
    for t in (0.05, 0.2, 0.5):
        assert abs((p <= t).mean() - t) < 0.03


def test_anomalies_are_discovered_with_few_false_alarms(well_trained, normal_rows, rng):
    odd = rng.normal(size=(300, 6)) * 5
    p = well_trained.anomaly_pvalues(np.r_[normal_rows(300), odd], normal_rows(300))
    flags = sm.metrics.false_discovery_control(p, rate=0.1)
    assert flags[300:].mean() > 0.8
    assert flags[:300].sum() / flags.sum() < 0.2


def test_equal_scores_are_reported(X):
    with pytest.warns(sm.CollapseWarning, match="one and the same score"):
        sm.DAGMM(2, training=sm.Training(epochs=1), random_state=0).fit(np.repeat(X[:1], 30, axis=0))


def test_diagnostics_are_recorded_every_epoch(detector):
    assert len(detector.diagnostics_) == 5
    assert np.isclose(sum(detector.diagnostics_[-1]["occupancy"]), 1)


def test_what_is_scored_can_be_seen(detector, X):
    points = detector.transform(X)
    assert points.shape == (300, 3)
    assert (np.abs(points[:, 2]) <= 1 + 1e-6).all()  # a cosine
    assert detector._n_features_out == 3


@pytest.mark.parametrize("mixture", ["network", "nvi", "free", "signed"])
def test_every_form_is_saved_and_resumed(X, tmp_path, mixture):
    settings = {"mixture": mixture, "hidden": (6,), "random_state": 0}
    whole = sm.DAGMM(2, training=sm.Training(epochs=3), **settings).fit(X)
    sm.DAGMM(2, training=sm.Training(epochs=2), **settings).fit(X)
    whole.save(tmp_path / "m")
    assert np.array_equal(sm.load(tmp_path / "m").score_samples(X), whole.score_samples(X))
    assert all(torch.isfinite(v).all() for v in whole.module_.state_dict().values())
