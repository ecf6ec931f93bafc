"""Restarts of a detector that score together."""

import numpy as np
import pytest
import torch
from torch import nn

import steinmix as sm
from steinmix.estimator.consensus import Consensus
from steinmix.metrics import consensus_scores
from steinmix.training import Callback


@pytest.fixture
def X(rng):
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6))


def build(seed=0, n_init=3, callbacks=(), **settings):
    training = sm.Training(epochs=3, lr=1e-2, callbacks=callbacks)
    return sm.DAGMM(
        2, hidden=(6,), training=training, n_init=n_init, n_jobs=1, selection="consensus", random_state=seed, **settings
    )


@pytest.fixture
def apart(monkeypatch):
    """Restarts run one after another: the bits of each alone."""
    monkeypatch.setattr(sm.DAGMM, "_stack_limit", 0)


def test_scores_are_the_consensus_of_the_restarts(X, rng, apart):
    model, new = build().fit(X), rng.normal(size=(40, 6))
    alone = [build(record["seed"], n_init=1).fit(X) for record in model.restarts_]
    scores, reference = ([d.anomaly_score(x) for d in alone] for x in (new, X))
    assert model.anomaly_score(new) == pytest.approx(consensus_scores(scores, reference), rel=1e-12)
    assert model.offset_ == np.percentile(model.score_samples(X), 10)
    chosen = alone[model.best_restart_]
    assert np.array_equal(model.transform(new), chosen.transform(new))
    rebuilt = np.mean([d._map(d.module_.reconstruct, new) for d in alone], axis=0)
    assert model._map(model.module_.reconstruct, new) == pytest.approx(rebuilt, rel=1e-5, abs=1e-6)
    assert model.history_ == chosen.history_


def test_restarts_that_run_as_one_program_score_alike(X, monkeypatch):
    stacked = build().fit(X).score_samples(X)
    monkeypatch.setattr(sm.DAGMM, "_stack_limit", 0)
    assert stacked == pytest.approx(build().fit(X).score_samples(X), rel=1e-3, abs=1e-3)


def test_it_is_saved_whole(X, tmp_path):
    model = build().fit(X)
    model.save(tmp_path / "m")
    loaded = sm.load(tmp_path / "m")
    assert np.array_equal(loaded.score_samples(X), model.score_samples(X))
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert np.array_equal(loaded.transform(X), model.transform(X))


def test_a_parameter_changed_afterwards_does_not_change_what_is_saved(X, tmp_path):
    model = build().fit(X)
    model.set_params(selection="objective", n_init=1).save(tmp_path / "m")
    assert np.array_equal(sm.load(tmp_path / "m").score_samples(X), model.score_samples(X))


class Explode(Callback):
    """Spoils the restart of this seed."""

    def __init__(self, seed):
        self.seed = seed

    def on_epoch_end(self, state):
        if state.streams.seed == self.seed:
            for parameter in state.module.parameters():
                parameter.data.fill_(float("inf"))


def test_a_restart_that_diverged_has_no_part(X, tmp_path, apart):
    with pytest.warns(sm.DivergedWarning, match="restart 0 of 3 was dropped"):
        model = build(callbacks=(Explode(0),)).fit(X)
    kept = [build(record["seed"], n_init=1).fit(X) for record in model.restarts_[1:]]
    scores = [d.anomaly_score(X) for d in kept]
    assert len(model.module_.members) == 2
    assert model.anomaly_score(X) == pytest.approx(consensus_scores(scores, scores), rel=1e-12)
    model.set_params(training=None).save(tmp_path / "m")
    assert np.array_equal(sm.load(tmp_path / "m").score_samples(X), model.score_samples(X))


class Scored(nn.Module):
    """Scores rows by a function."""

    def __init__(self, function):
        super().__init__()
        self.score = function


def test_a_flat_member_has_no_part():
    x = torch.arange(200.0)[:, None]
    joint = Consensus([Scored(lambda x: -x[:, 0]), Scored(lambda x: x[:, 0] * 0 + 7)], 0)
    assert joint.measure_(joint.each(x).numpy()).tolist() == [False, True]
    alone = consensus_scores(x.numpy().T, x.numpy().T)
    assert (-2 * joint.score(x)).tolist() == pytest.approx(alone.tolist())


def test_flat_restarts_are_told(X, monkeypatch):
    monkeypatch.setattr(Consensus, "measure_", lambda self, scores: np.array([False, True, True]))
    with pytest.warns(sm.errors.CollapseWarning, match="2 of 3 restarts give most training rows one score"):
        build().fit(X)


def test_one_start_is_itself(X):
    assert np.array_equal(
        build(n_init=1).fit(X).score_samples(X),
        build(n_init=1).set_params(selection="objective").fit(X).score_samples(X),
    )


def test_only_detectors_know_it(X):
    with pytest.raises(sm.ConfigError, match="selection is 'consensus'; expected one of agreement, objective"):
        sm.GaussianMixture(2, selection="consensus").fit(X)
    with pytest.raises(sm.ConfigError, match="selection is 'truth'; expected one of agreement, consensus, objective"):
        sm.DAGMM(2, selection="truth").fit(X)
