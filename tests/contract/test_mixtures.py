"""What every estimator with a mixture promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import steinmix as sm
from steinmix.training import Annealed

from .conftest import build, parameters, same

STARTED = {"DEPICT": "n_clusters", "GaussianMixture": "n_components", "VaDE": "n_clusters"}
"""Those whose mixture is started from the data, with the name of their number of components."""
MIXTURES = STARTED | {"GMVAE": "n_clusters", "GMVAECV": "n_clusters"}


@pytest.fixture(params=MIXTURES)
def mixture(request) -> str:
    return request.param


@pytest.fixture(params=STARTED)
def started(request) -> str:
    return request.param


def test_probabilities_and_labels_agree(mixture, X):
    model = build(mixture).fit(X)
    proba = model.predict_proba(X)
    assert np.allclose(proba.sum(1), 1)
    assert np.array_equal(proba.argmax(1), model.predict(X))
    assert np.array_equal(model.labels_, model.predict(X))
    assert model.labels_.dtype == model.initial_labels_.dtype == np.int64


def test_separated_groups_are_found(started, X):
    model = build(started).fit(X)
    truth = np.repeat([0, 1, 2], 40)
    assert sm.metrics.adjusted_rand_index(truth, model.initial_labels_) > 0.95


def test_samples(mixture, X):
    model = build(mixture).fit(X)
    rows, components = model.sample(50, return_components=True, random_state=0)
    assert rows.shape == (50, 5)
    assert set(components) <= {0, 1, 2}
    assert np.array_equal(model.sample(4, component=1, random_state=1), model.sample(4, component=1, random_state=1))
    sure = model.sample(20, component=1, min_posterior=0.6, random_state=1)
    assert sure.shape == (20, 5)
    components = [{"component": wrong} for wrong in (3, -1, 1.5)]
    for wrong in ({"n_samples": 0}, *components, {"min_posterior": 1.0}, {"min_posterior": "a"}):
        with pytest.raises(sm.ConfigError):
            model.sample(**wrong)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "three", True])
def test_a_wrong_number_of_components(mixture, X, wrong):
    with pytest.raises(sm.ConfigError, match=MIXTURES[mixture]):
        build(mixture, **{MIXTURES[mixture]: wrong}).fit(X)


def test_more_components_than_rows(mixture, X):
    with pytest.raises(sm.DataError, match="n_samples=4 should be >= "):
        build(mixture, **{MIXTURES[mixture]: 5}).fit(X[:4])


@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
def test_one_component(mixture, X):
    model = build(mixture, **{MIXTURES[mixture]: 1}).fit(X)
    assert set(model.labels_) == {0}
    assert np.allclose(model.predict_proba(X), 1)


@pytest.mark.parametrize("neutral", [sm.NoDiversity(), sm.Pairwise(alpha=0.0), sm.LogDet(alpha=0.0)])
def test_neutral_diversifiers_change_nothing(mixture, X, neutral):
    plain, same_again = build(mixture).fit(X), build(mixture, diversifier=neutral).fit(X)
    assert same(parameters(plain), parameters(same_again))


@pytest.mark.parametrize(
    "diversifier",
    [
        sm.NSVGD(0.5, prior=sm.NormalPrior(0.0, 3.0)),
        sm.Pairwise(0.1),
        sm.LogDet(0.1),
        Annealed(sm.Pairwise(0.1)),
    ],
)
def test_diversifiers_are_felt_and_saved(mixture, X, diversifier, tmp_path):
    plain, apart = build(mixture).fit(X), build(mixture, diversifier=diversifier).fit(X)
    assert not same(parameters(plain), parameters(apart))
    apart.save(tmp_path / "m")
    assert sm.load(tmp_path / "m").diversifier == diversifier


@pytest.mark.parametrize(
    "loc", [torch.tensor([0.5]), torch.tensor([0.5]).bfloat16(), np.array([0.5]), np.array([0.5], ">f4")]
)
def test_a_prior_of_arrays_is_saved_and_fitted_again(mixture, X, loc, tmp_path):
    model = build(mixture, diversifier=sm.NSVGD(alpha=0.1, prior=sm.NormalPrior(loc, 2.0))).fit(X)
    model.save(tmp_path / "m")
    loaded = sm.load(tmp_path / "m")
    if loc.dtype != torch.bfloat16:  # it has no form outside of torch
        assert loaded.diversifier.prior.loc.dtype == loc.dtype
    assert same(parameters(model), parameters(loaded.fit(X)))


def test_a_warning_where_the_objective_has_no_maximum(mixture, X):
    with pytest.warns(sm.UnboundedWarning, match="no maximum"):
        build(mixture, diversifier=sm.NSVGD(alpha=0.5)).fit(X)


@pytest.mark.parametrize("start", ["em", "graph", "kmeans", "random"])
@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
def test_starts(started, X, start):
    model = build(started, start=start).fit(X)
    assert model.initial_labels_.shape == (120,)
    assert model.initial_labels_.min() >= 0


def test_an_unknown_start_names_the_known(started, X):
    with pytest.raises(sm.ConfigError, match=r"em, graph, k-means\+\+, kmeans, linkage, random"):
        build(started, start="magic").fit(X)


@pytest.mark.filterwarnings("ignore:all rows are in one:steinmix.CollapseWarning")  # a start of them says so too
@pytest.mark.filterwarnings("ignore:no latent coordinate:steinmix.CollapseWarning")
def test_collapse_policies(mixture, X):
    one_group = {MIXTURES[mixture]: 3} | ({"start": "kmeans"} if mixture in STARTED else {})
    rows = np.repeat(X[:1], 30, axis=0)
    with pytest.warns(sm.CollapseWarning, match="no row after training"):
        build(mixture, collapse="warn", **one_group).fit(rows)
    with pytest.raises(sm.CollapseError):
        build(mixture, collapse="raise", **one_group).fit(rows)
    build(mixture, collapse="ignore", **one_group).fit(rows)
    with pytest.raises(sm.ConfigError, match="collapse"):
        build(mixture, collapse="panic").fit(X)


def test_diagnostics_are_recorded_every_epoch(mixture, X):
    model = build(mixture).fit(X)
    assert len(model.diagnostics_) == sum(r["phase"] in ("anchor", "mixture") for r in model.history_)
    assert np.isclose(sum(model.diagnostics_[-1]["occupancy"]), 1)
    assert model.n_active_ == len(np.unique(model.labels_))


@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
def test_restarts_are_fits_with_their_seeds(mixture, X, tmp_path):
    """Stacked or not: the labels and the objective of each are those of a fit by itself, up to rounding."""
    model = build(mixture, n_init=2, n_jobs=1).fit(X)
    for record, labels in zip(model.restarts_, model.restart_labels_):
        alone = build(mixture, random_state=record["seed"]).fit(X)
        kept = isinstance(alone, sm.GaussianMixture)  # whose start may be kept after all
        loss = alone.preparation_.log_jacobian() - alone.score(X) if kept else alone.history_[-1]["loss"]
        assert record["objective"] == pytest.approx(loss, rel=1e-4)
        assert (labels == alone.labels_).mean() > 0.97
    assert np.array_equal(model.labels_, model.restart_labels_[model.best_restart_])
    assert model.consensus_labels_.shape == model.row_stability_.shape == model.labels_.shape
    model.save(tmp_path / "m")
    assert sm.load(tmp_path / "m").restarts_ == model.restarts_


@pytest.mark.parametrize("wrong", [{"n_init": 0}, {"n_jobs": 0}, {"selection": "truth"}])
def test_wrong_settings_of_restarts(mixture, X, wrong):
    with pytest.raises(sm.ConfigError, match=next(iter(wrong))):
        build(mixture, **wrong).fit(X)
