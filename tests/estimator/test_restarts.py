"""``n_init``: every restart is what a fit with its seed gives, whichever way it was run."""

from __future__ import annotations

import shutil

import joblib
import numpy as np
import pytest
import torch

import steinmix as sm
from steinmix.data import arrays
from steinmix.estimator import restarts
from steinmix.estimator.restarts import _processes
from steinmix.estimator.selection import SELECTIONS, Outcome, select
from steinmix.random import Streams, restart_seed
from steinmix.training import Callback, EarlyStopping

CPU = torch.device("cpu")
METHODS = {
    "mixture": lambda **k: sm.GaussianMixture(3, start="random", diversifier=PRIOR, **k),
    "dagmm": lambda **k: sm.DAGMM(3, hidden=(4,), pretraining_epochs=1, **k),
    "full": lambda **k: sm.GaussianMixture(3, start="kmeans", covariance_type="full", **k),
    "unit": lambda **k: sm.GaussianMixture(3, start="random", covariance_type="unit", learn_weights=False, **k),
    "vade": lambda **k: sm.VaDE(
        3, latent_dim=2, hidden=(8,), start="random", diversifier=PRIOR, pretraining=sm.Pretraining(layer_epochs=1), **k
    ),
}
PRIOR = sm.NSVGD(0.5, prior=sm.NormalPrior(0.0, 3.0))

pytestmark = pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")


@pytest.fixture
def X():
    """Three groups of 40 rows that overlap, so that restarts differ."""
    rng = Streams(1).numpy("data")
    return np.concatenate([rng.normal(2 * c, 1.0, (40, 5)) for c in range(3)])


@pytest.fixture
def apart(monkeypatch):
    """No model is small enough to be stacked."""
    for kind in (sm.DAGMM, sm.GaussianMixture, sm.VaDE):
        monkeypatch.setattr(kind, "_stack_limit", 0)


def build(method="mixture", epochs=3, n_init=3, **others):
    fields = {k: others.pop(k) for k in ("callbacks", "clip_norm", "optimizer", "lr") if k in others}
    training = sm.Training(epochs=epochs, batch_size=32, progress=False, **fields)
    return METHODS[method](training=training, n_init=n_init, **{"random_state": 4} | others)


def alike(history, expected, rel):
    assert len(history) == len(expected)
    for one, other in zip(history, expected):
        figures = {k: v for k, v in other.items() if isinstance(v, float)}
        assert {k: one[k] for k in figures} == pytest.approx(figures, rel=rel, abs=rel)
        assert {k: one[k] for k in ("phase", "epoch", "step")} == {k: other[k] for k in ("phase", "epoch", "step")}


@pytest.mark.parametrize("method", METHODS)
def test_stacked_restarts_are_fits_with_their_seeds(X, method):
    model = build(method, clip_norm=0.5).fit(X)
    for record, labels in zip(model.restarts_, model.restart_labels_):
        alone = build(method, clip_norm=0.5, n_init=1, random_state=record["seed"]).fit(X)
        alike(record["history"], alone.history_, rel=1e-4)
        if method != "dagmm":  # a detector shows no labels
            assert (labels == alone.labels_).mean() > 0.97
    alone = build(method, clip_norm=0.5, n_init=1, random_state=model.restarts_[model.best_restart_]["seed"]).fit(X)
    np.testing.assert_allclose(model.score_samples(X), alone.score_samples(X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_other_restarts_are_fits_with_their_seeds_bit_for_bit(X, method, apart):
    model = build(method, n_jobs=1).fit(X)
    for r, (record, labels) in enumerate(zip(model.restarts_, model.restart_labels_)):
        alone = build(method, n_init=1, random_state=record["seed"]).fit(X)
        assert record["history"] == alone.history_
        assert method == "dagmm" or np.array_equal(labels, alone.labels_)
        if r == model.best_restart_:
            assert np.array_equal(model.score_samples(X), alone.score_samples(X))
            assert method == "dagmm" or np.array_equal(model.initial_labels_, alone.initial_labels_)


def test_precision_goes_by_the_size_of_one_restart(X, monkeypatch):
    sizes = []

    def note(self, module, device):
        sizes.append(sum(p.numel() for p in module.parameters()))

    monkeypatch.setattr(sm.Training, "autocast_dtype", note)
    for n_init in (1, 3):
        build("vade", n_init=n_init, epochs=1).fit(X)
    assert len(set(sizes)) == 1


def test_processes_give_the_same_bits(X, apart):
    one, other = build("vade", n_jobs=1).fit(X), build("vade", n_jobs=2).fit(X)
    assert one.restarts_ == other.restarts_
    assert np.array_equal(one.predict_proba(X), other.predict_proba(X))


def test_a_stack_in_each_process_gives_what_one_stack_gives(X, tmp_path):
    one = build(n_init=5).fit(X)
    with joblib.parallel_config(backend="threading"):
        other = build(n_init=5, n_jobs=2).fit(X, checkpoint=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stack0-1", "stack2-4"]
    for mine, theirs in zip(one.restarts_, other.restarts_, strict=True):
        assert mine["seed"] == theirs["seed"]
        alike(mine["history"], theirs["history"], rel=1e-4)


def test_a_context_of_joblib_is_obeyed(X, apart):
    one = build(n_jobs=1).fit(X)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert _processes(None, 5, CPU) == 2
        assert one.restarts_ == build().fit(X).restarts_


def test_how_many_processes(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    monkeypatch.setattr(joblib, "effective_n_jobs", lambda n: 4 if n == -1 else n)
    assert _processes(None, 10, CPU) == 4
    assert _processes(None, 3, CPU) == 3
    assert _processes(2, 3, CPU) == 2
    assert _processes(-1, 10, CPU) == 4
    assert _processes(None, 10, torch.device("cuda")) == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert _processes(None, 10, CPU) == 1


def test_inside_a_worker_nothing_more_is_started():
    with joblib.parallel_config(backend="threading"):
        assert joblib.Parallel(n_jobs=2)(joblib.delayed(_processes)(None, 10, CPU) for _ in range(2)) == [1, 1]


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    assert restarts._on_one_thread(torch.get_num_threads) == 1
    assert torch.get_num_threads() == before


def test_one_restart_is_a_plain_fit(X):
    assert [restart_seed(4, r) for r in range(2)] == [4, restart_seed(4, 1)]
    model = build().fit(X)
    assert model.restarts_[0]["seed"] == model.seed_ == 4
    assert not hasattr(model.set_params(n_init=1).fit(X), "restarts_")


def test_labels_of_the_data_are_never_used(X):
    y = np.repeat([0, 1, 2], 40)
    plain, labelled = build().fit(X), build().fit(X, y)
    assert plain.restarts_ == labelled.restarts_
    assert np.array_equal(plain.labels_, labelled.labels_)


def test_restarts_stop_early_one_by_one(X):
    lazy = EarlyStopping(patience=3, tol=1e-3)
    model = build(epochs=60, lr=0.1, callbacks=(lazy,)).fit(X)
    lengths = [len(record["history"]) for record in model.restarts_]
    assert len(set(lengths)) > 1
    assert max(lengths) < 60
    for record in model.restarts_:
        alone = build(epochs=60, lr=0.1, callbacks=(lazy,), n_init=1, random_state=record["seed"]).fit(X)
        alike(record["history"], alone.history_, rel=1e-3)


def outcome(loss, labels, error=None):
    history = [] if loss is None else [{"loss": 99.0}, {"loss": loss}]
    return Outcome(0, {}, {}, history, None if labels is None else np.array(labels), error)


def test_rules_of_selection():
    error = sm.DivergedError("p", 0, "t")
    outcomes = [
        outcome(3.0, [0, 0, 1, 1, 1]),
        outcome(1.0, [0, 1, 0, 1, 0]),
        outcome(2.0, [1, 1, 0, 0, 0]),
        outcome(0.0, None, error),
    ]
    assert set(SELECTIONS) == {"agreement", "objective"}
    assert select(outcomes, SELECTIONS["objective"]) == 1
    assert select(outcomes, SELECTIONS["agreement"]) == 0
    assert select(outcomes[1:3], SELECTIONS["objective"]) == 0
    assert select([outcome(None, [0]), outcome(None, [0])], SELECTIONS["objective"]) == 0
    assert (
        select(outcomes[3:] + outcomes[:1], SELECTIONS["agreement"])
        == select(outcomes[3:] + outcomes[:1], SELECTIONS["objective"])
        == 1
    )


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_selected_restart_is_the_model(X, selection):
    model = build(n_init=4, selection=selection).fit(X)
    best = model.best_restart_
    scores = {
        "objective": [-record["objective"] for record in model.restarts_],
        "agreement": model.agreement_.sum(1),
    }
    assert best == np.argmax(scores[selection])
    assert model.history_ == model.restarts_[best]["history"]
    assert np.array_equal(model.labels_, model.restart_labels_[best])
    assert np.array_equal(model.labels_, model.predict(X))


class Drawing(sm.GaussianMixture):
    """Draws from the generators of its fit after training."""

    def _finish(self, loader):
        super()._finish(loader)
        self.drawn_ = loader.streams.numpy("k-means").random(3)


@pytest.mark.parametrize("limit", [0, 100_000])
def test_what_follows_training_goes_on_with_the_generators_of_the_selected_restart(X, monkeypatch, limit):
    monkeypatch.setattr(sm.GaussianMixture, "_stack_limit", limit)
    model = Drawing(3, start="kmeans", training=sm.Training(epochs=1), n_init=3, n_jobs=1, random_state=0).fit(X)
    seed = model.restarts_[model.best_restart_]["seed"]
    alone = Drawing(3, start="kmeans", training=sm.Training(epochs=1), random_state=seed).fit(X)
    assert np.array_equal(model.drawn_, alone.drawn_)


def test_agreement_and_stability(X):
    model = build("full", n_init=4).fit(X)
    others = np.delete(model.restart_labels_, model.best_restart_, 0)
    assert model.agreement_.shape == (4, 4)
    assert np.allclose(np.diag(model.agreement_), 1)
    metrics = sm.metrics
    assert np.array_equal(model.stability_, metrics.cluster_stability(others, model.labels_, 3), equal_nan=True)
    assert np.array_equal(model.row_stability_, metrics.row_stability(others, model.labels_))
    assert np.array_equal(model.consensus_labels_, metrics.consensus_labels(model.restart_labels_, model.labels_))


def test_restarts_are_saved(X, tmp_path):
    model = build(n_jobs=1, selection="agreement").fit(X)
    model.save(tmp_path / "m")
    loaded = sm.load(tmp_path / "m")
    assert loaded.restarts_ == model.restarts_
    assert loaded.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert (loaded.n_init, loaded.n_jobs, loaded.selection) == (3, 1, "agreement")
    for name in ("agreement_", "stability_", "row_stability_", "consensus_labels_", "restart_labels_"):
        assert np.array_equal(getattr(loaded, name), getattr(model, name), equal_nan=True)
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


class Explode(Callback):
    """Spoils the parameters of restarts whose seed is among those given."""

    def __init__(self, *seeds):
        self.seeds = seeds

    def on_epoch_end(self, state):
        if state.streams.seed in self.seeds:
            for parameter in state.module.parameters():
                parameter.data.fill_(float("inf"))


@pytest.mark.parametrize("limit", [0, 100_000])
def test_what_diverges_is_dropped_with_a_warning(X, monkeypatch, limit):
    monkeypatch.setattr(sm.GaussianMixture, "_stack_limit", limit)
    with pytest.warns(sm.DivergedWarning, match="restart 0 of 3 was dropped: term 'negative_log_likelihood'"):
        model = build(callbacks=(Explode(4),), n_jobs=1).fit(X)
    assert model.best_restart_ != 0
    assert model.restarts_[0]["objective"] is None
    assert "phase 'mixture' at step 4" in model.restarts_[0]["error"]
    assert [record["epoch"] for record in model.restarts_[0]["history"]] == [0]
    assert (model.restart_labels_[0] == -1).all()
    assert np.isnan(model.agreement_[0]).all()
    assert np.isfinite(model.agreement_[1:, 1:]).all()
    everyone = (Explode(*(restart_seed(4, r) for r in range(3))),)
    with pytest.raises(sm.DivergedError):
        model.set_params(training__callbacks=everyone).fit(X)
    assert not hasattr(model, "restarts_")


class Blind(Callback):
    """Makes a mixture say nothing finite though its parameters are, after some epoch of one restart."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, state):
        if state.streams.seed == 4 and state.epochs_done == self.epoch:
            state.module.mixture.means.data.fill_(3e38)


@pytest.mark.parametrize("epoch", [1, 3])
@pytest.mark.parametrize("limit", [0, 100_000])
def test_diagnostics_that_are_not_finite_drop_a_restart(X, monkeypatch, limit, epoch):
    monkeypatch.setattr(sm.GaussianMixture, "_stack_limit", limit)
    watchers = sm.GaussianMixture._watchers
    monkeypatch.setattr(sm.GaussianMixture, "_watchers", lambda *a: [Blind(epoch), *watchers(*a)])
    with pytest.warns(sm.DivergedWarning, match="restart 0 of 3 was dropped: term 'responsibilities'"):
        model = build(n_jobs=1).fit(X)
    assert model.best_restart_ != 0
    epochs = [record["epoch"] for record in model.restarts_[0]["history"]]
    assert epochs == list(range(epoch - 1))  # the record of the epoch that spoilt it is dropped too
    with pytest.raises(sm.DivergedError, match="responsibilities"):
        model.set_params(n_init=1).fit(X)
    assert bool((model.module_.mixture.means.abs() < 1e6).all())


def test_a_stack_may_be_lost_as_a_whole(X):
    with joblib.parallel_config(backend="threading"), pytest.warns(sm.DivergedWarning, match="restart 0 of 2"):
        model = build(n_init=2, callbacks=(Explode(4),), n_jobs=2).fit(X)
    assert model.best_restart_ == 1


class Stop(Exception):
    pass


class Interrupt(Callback):
    """Ends the process, as it were, in the middle of the last restart."""

    def on_epoch_end(self, state):
        if state.streams.seed == restart_seed(4, 2) and state.epochs_done == 2:
            raise Stop


@pytest.mark.parametrize("limit", [0, 100_000])
def test_resume_ends_with_the_same_bits(X, monkeypatch, limit, tmp_path):
    monkeypatch.setattr(sm.GaussianMixture, "_stack_limit", limit)
    whole = build(n_jobs=1).fit(X)
    with pytest.raises(Stop):
        build(n_jobs=1, callbacks=(Interrupt(),)).fit(X, checkpoint=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == (
        ["restart0", "restart1", "restart2"] if not limit else ["stack"]
    )
    resumed = build(n_jobs=1, selection="agreement").fit(X, checkpoint=tmp_path, resume=True)
    assert resumed.restarts_ == whole.restarts_
    assert np.array_equal(resumed.restart_labels_, whole.restart_labels_)


@pytest.mark.parametrize("limit", [0, 100_000])
def test_without_a_seed_restarts_go_on_with_theirs(X, monkeypatch, limit, tmp_path):
    monkeypatch.setattr(sm.GaussianMixture, "_stack_limit", limit)
    before = build(n_jobs=1, random_state=None).fit(X, checkpoint=tmp_path)
    for newest in tmp_path.glob("*/000003"):
        shutil.rmtree(newest)
    shutil.rmtree(tmp_path / "restart0", ignore_errors=True)  # the one whose seed is that of all
    resumed = build(n_jobs=1, random_state=None).fit(X, checkpoint=tmp_path, resume=True)
    assert resumed.seed_ == before.seed_
    assert resumed.restarts_ == before.restarts_


@pytest.mark.parametrize("way", ["plain", "large", "callable", "streamed"])
def test_what_cannot_be_stacked_is_run_apart(X, monkeypatch, way, tmp_path):
    def stack(*args):
        raise AssertionError("stacked")

    monkeypatch.setattr(restarts, "run_stack", stack)
    model = build(n_jobs=1, **({"optimizer": torch.optim.NAdam} if way == "callable" else {}))
    if way == "large":
        monkeypatch.setattr(sm.GaussianMixture, "_stack_limit", 33 * 32)  # 3 + 2 x 3 x 5 parameters, 32 rows
    if way == "streamed":
        monkeypatch.setattr(arrays, "HELD_BYTES", 0)
        np.savetxt(tmp_path / "x.csv", X, delimiter=",", header="a,b,c,d,e", comments="")
        X = tmp_path / "x.csv"
    if way == "plain":
        with pytest.raises(AssertionError, match="stacked"):
            model.fit(X)
    else:
        assert len(model.fit(X).restarts_) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_init": 0}, "n_init is 0; expected a whole number >= 1"),
        ({"n_init": 2.5}, "n_init is 2.5"),
        ({"n_init": True}, "n_init is True"),
        ({"n_jobs": 0}, "n_jobs is 0; expected a whole number other than 0, or None"),
        ({"n_jobs": "all"}, "n_jobs is 'all'"),
        ({"selection": "truth"}, "selection is 'truth'; expected one of agreement, objective"),
        ({"selection": ["objective"]}, "selection is .*; expected one of agreement, objective"),
    ],
)
def test_wrong_settings_are_named(X, changes, message):
    with pytest.raises(sm.ConfigError, match=message):
        build(**changes).fit(X)


def test_a_mixture_is_chosen_by_the_likelihood_of_what_it_keeps(rng):
    """Steps that are too long lose likelihood, and the start is kept: the loss they ended with says nothing of it."""
    x = np.concatenate([rng.normal(size=(80, 4)) * 2 * rng.random(4) + 1.5 * rng.normal(size=4) for _ in range(5)])
    training = sm.Training(epochs=10, lr=0.1, batch_size=64, progress=False)
    settings = {"start": "k-means++", "training": training, "scaling": "none"}
    model = sm.GaussianMixture(6, n_init=4, random_state=1, **settings).fit(x)
    alone = [sm.GaussianMixture(6, random_state=told["seed"], **settings).fit(x).score(x) for told in model.restarts_]
    assert model.best_restart_ == np.argmax(alone)
    assert [-told["objective"] for told in model.restarts_] == pytest.approx(alone, abs=1e-3)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("later", [{"n_jobs": 2}, {"n_init": 1}])
def test_checkpoints_of_other_restarts_are_refused(X, tmp_path, later, resume):
    build().fit(X, checkpoint=tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(sm.ConfigError, match=r"has checkpoints in stack, and this fit would keep its own in .*n_init"):
        build(**later).fit(X, checkpoint=tmp_path, resume=resume)
    assert sorted(tmp_path.rglob("*")) == before
