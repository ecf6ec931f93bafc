import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture as Peer

from steinmix import (
    NSVGD,
    CollapseError,
    CollapseWarning,
    GaussianMixture,
    LogDet,
    NormalPrior,
    Pairwise,
    ScaleWarning,
    Training,
    UnboundedWarning,
)
from steinmix.data.datasets import load_toy
from steinmix.objective import Batch
from steinmix.training import Callback

FAMILIES = ["diag", "full", "unit"]


@pytest.fixture
def table(rng):
    """Three correlated groups in two columns of very different units."""
    places = (150, [0, 0]), (100, [5, 1]), (80, [0, 6])
    groups = [rng.normal(size=(n, 2)) @ rng.normal(size=(2, 2)) + c for n, c in places]
    return np.concatenate(groups) * [1.0, 40.0] + [0.0, 500.0]


def mixture(m=3, epochs=3, **others):
    training = Training(epochs=epochs, batch_size=64, progress=False)
    return GaussianMixture(m, **{"random_state": 0, "training": training} | others)


def peer_of(model, covariance_type="full"):
    """scikit-learn's mixture with our parameters, so that its own arithmetic can be asked."""
    peer = Peer(len(model.weights_), covariance_type=covariance_type)
    peer.weights_, peer.means_, peer.covariances_ = model.weights_, model.means_, model.covariances_
    peer.precisions_cholesky_ = np.stack([np.linalg.cholesky(np.linalg.inv(c)) for c in model.covariances_])
    return peer


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scaling", ["standard", "none", "range"])
def test_scores_and_probabilities_equal_scikit_learns_on_the_same_parameters(table, family, scaling):
    model = mixture(covariance_type=family, scaling=scaling, collapse="ignore").fit(table)
    peer = peer_of(model)
    expected = peer.score_samples(table)
    np.testing.assert_allclose(model.score_samples(table), expected, rtol=2e-4, atol=2e-3)
    assert model.score(table) == pytest.approx(expected.mean(), rel=1e-4)
    np.testing.assert_allclose(model.predict_proba(table), peer.predict_proba(table), atol=5e-3)
    assert (model.predict(table) == peer.predict(table)).mean() > 0.99


@pytest.mark.parametrize("family", ["diag", "full"])
def test_the_start_by_em_reaches_scikit_learns_likelihood(table, family):
    model = mixture(covariance_type=family, epochs=0).fit(table)
    peer = Peer(3, covariance_type=family, n_init=5, tol=1e-6, max_iter=500, random_state=0).fit(table)
    assert model.score(table) == pytest.approx(peer.score(table), abs=0.01)


def test_training_does_not_fall_from_the_likelihood_of_the_start(table):
    before, after = mixture(epochs=0).fit(table), mixture(epochs=20).fit(table)
    assert after.score(table) > before.score(table) - 0.01
    assert before.history_ == []


def dependent(name):
    """Tables with directions in which there is next to nothing, in the data or within groups."""
    rng, iris = np.random.default_rng(0), load_iris()
    return {
        "cancer": lambda: load_breast_cancer().data,
        "one-hot": lambda: np.c_[iris.data, np.eye(3)[iris.target]],
        "rank 2": lambda: rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)),
        "sum": lambda: np.c_[iris.data, iris.data.sum(1)],
    }[name]()


@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["cancer", "one-hot", "rank 2", "sum"])
def test_dependent_columns_cost_no_likelihood_of_the_start(name, family, seed):
    x = dependent(name)
    before, after = (mixture(covariance_type=family, epochs=e, random_state=seed).fit(x).score(x) for e in (0, 40))
    assert after > before - 1e-4


@pytest.mark.parametrize("name", ["one-hot", "sum"])
def test_full_covariances_of_dependent_columns_are_learnt(name):
    """The steps themselves do not lose the start: nothing is put back, and they find more."""
    x = dependent(name)
    begun = mixture(covariance_type="full", epochs=0).fit(x)
    learnt = mixture(covariance_type="full", epochs=100).fit(x)
    assert learnt.score(x) > begun.score(x) + 0.02


@pytest.mark.parametrize("settings", [{}, {"n_init": 2, "n_jobs": 1}, {"ema": 0.9}])
@pytest.mark.parametrize("family", ["diag", "full"])
def test_a_start_that_training_would_spoil_is_kept(table, family, settings):
    fast = Training(epochs=5, batch_size=64, lr=3.0, progress=False, ema=settings.pop("ema", None))
    model = mixture(covariance_type=family, training=fast, collapse="ignore", **settings).fit(table)
    seed = model.restarts_[model.best_restart_]["seed"] if settings else 0
    begun = mixture(covariance_type=family, epochs=0, random_state=seed).fit(table)
    np.testing.assert_allclose(model.means_, begun.means_, rtol=1e-5)
    assert model.score(table) == pytest.approx(begun.score(table), abs=1e-4)
    assert np.array_equal(model.labels_, model.predict(table))


def test_a_diversifier_may_leave_the_likelihood_of_the_start(table):
    prior = NormalPrior(0.0, 3.0)
    model = mixture(epochs=20, diversifier=NSVGD(2.0, prior=prior), collapse="ignore").fit(table)
    assert model.score(table) < mixture(epochs=0).fit(table).score(table) - 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_density_integrates_to_one(rng, family):
    x = np.concatenate([rng.normal(3, 0.2, (80, 1)), rng.normal(9, 2.0, (80, 1))])
    model = mixture(2, covariance_type=family).fit(x)
    grid = np.linspace(-30, 50, 16_001)
    density = np.exp(model.score_samples(grid[:, None]))
    assert density.sum() * (grid[1] - grid[0]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scale", [4.0, np.array([0.125, 32.0])])
def test_an_affine_change_of_units_shifts_the_score_by_its_log_jacobian(table, family, scale):
    model = mixture(covariance_type=family).fit(table)
    moved = scale * table + 7
    other = mixture(covariance_type=family).fit(moved)
    scales = np.broadcast_to(scale, 2)
    log_jacobian = np.log(scales).sum()
    np.testing.assert_allclose(other.score_samples(moved), model.score_samples(table) - log_jacobian, atol=2e-3)
    np.testing.assert_allclose(other.means_, scale * model.means_ + 7, rtol=1e-3)
    np.testing.assert_allclose(other.covariances_, model.covariances_ * np.outer(scales, scales), rtol=2e-3)


def test_means_and_covariances_are_in_the_units_of_the_data(table):
    model = mixture(1, covariance_type="full", epochs=0).fit(table)
    np.testing.assert_allclose(model.means_[0], table.mean(0), rtol=1e-5)
    np.testing.assert_allclose(model.covariances_[0], np.cov(table.T, ddof=0), rtol=1e-3)


def test_unit_covariance_is_the_identity_of_the_scaled_data(table):
    model = mixture(covariance_type="unit").fit(table)
    np.testing.assert_allclose(model.covariances_, np.tile(np.diag(table.var(0)), (3, 1, 1)), rtol=1e-5)
    unscaled = mixture(covariance_type="unit", scaling="none", collapse="ignore").fit(table)
    np.testing.assert_allclose(unscaled.covariances_, np.tile(np.eye(2), (3, 1, 1)), rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_have_the_moments_of_the_model(table, family):
    model, n = mixture(covariance_type=family).fit(table), 20_000
    rows, drawn = model.sample(n, return_components=True)
    assert rows.shape == (n, 2)
    share = np.bincount(drawn, minlength=3) / n
    assert (np.abs(share - model.weights_) < 4.5 * np.sqrt(model.weights_ / n)).all()
    for c in range(3):
        own = rows[drawn == c]
        white = np.linalg.solve(np.linalg.cholesky(model.covariances_[c]), (own - model.means_[c]).T)
        assert np.abs(white.mean(1)).max() < 4.5 / math.sqrt(len(own))
        np.testing.assert_allclose(np.cov(white), np.eye(2), atol=6 / math.sqrt(len(own)))
    only = model.sample(500, component=1)
    deviation = np.sqrt(np.diag(model.covariances_[1]))
    assert np.abs((only.mean(0) - model.means_[1]) / deviation).max() < 4.5 / math.sqrt(500)


def test_the_objective_is_minus_the_mean_log_likelihood(table):
    model = mixture().fit(table)
    x = model.preparation_(torch.from_numpy(table))
    terms = model.module_.terms(Batch(x, torch.arange(len(x))))
    (term,) = terms.values()
    log_jacobian = -np.log(table.std(0)).sum()
    assert -float(term.value.detach()) + log_jacobian == pytest.approx(peer_of(model).score(table), rel=1e-4)
    assert term.weight == 1


def test_fixed_weights_stay_uniform(table):
    np.testing.assert_allclose(mixture(learn_weights=False).fit(table).weights_, 1 / 3, rtol=1e-6)
    assert np.ptp(mixture().fit(table).weights_) > 0.1


@pytest.mark.parametrize("diversifier", [Pairwise(1.0), LogDet(1.0), NSVGD(2.0, prior=NormalPrior(0.0, 3.0))])
def test_diversifiers_keep_components_further_apart(rng, diversifier):
    """One broad group and five components: plain maximum likelihood from k-means has no reason to spread."""
    x = rng.normal(size=(300, 2))
    settings = {"learn_weights": False, "start": "kmeans", "collapse": "ignore"}
    plain = mixture(5, epochs=40, **settings).fit(x)
    spread = mixture(5, epochs=40, diversifier=diversifier, **settings).fit(x)
    assert mean_distance(spread.means_) > 1.15 * mean_distance(plain.means_)


def mean_distance(means):
    return float(torch.pdist(torch.from_numpy(means)).mean())


def test_entropy_without_a_prior_is_warned_of(table):
    with pytest.warns(UnboundedWarning, match="no prior"):
        mixture(diversifier=NSVGD(0.1)).fit(table)


@pytest.mark.parametrize("policy", ["warn", "raise", "ignore"])
def test_an_empty_component_is_answered_as_asked(policy):
    x = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0)
    model = mixture(4, epochs=1, collapse=policy)
    if policy == "warn":
        with pytest.warns(CollapseWarning, match="of 4 components have no row"):
            model.fit(x)
    elif policy == "raise":
        with pytest.raises(CollapseError, match="of 4 components have no row"):
            model.fit(x)
    else:
        assert model.fit(x).n_active_ < 4


def test_labels_are_the_models_own_and_the_first_ones_are_kept(table, rng):
    model = mixture(epochs=5).fit(table)
    assert np.array_equal(model.labels_, model.predict(table))
    assert np.array_equal(model.initial_labels_, mixture(epochs=0).fit(table).labels_)
    assert np.array_equal(mixture(epochs=5).fit(table, rng.permutation(len(table))).labels_, model.labels_)


def test_data_that_do_not_fit_in_memory_give_the_same_model(table):
    resident = mixture().fit(table)
    training = Training(epochs=3, batch_size=64, progress=False, resident_bytes=0)
    read = mixture(training=training).fit(table)
    assert np.array_equal(resident.means_, read.means_)


@pytest.mark.parametrize(("unit", "told"), [(1.0, False), (1e-3, True), (1e4, True)])
def test_columns_in_other_units_are_told_where_they_are_not_scaled(unit, told):
    data = load_toy(n_components=2, random_state=0).data[:300]
    rows = unit * data / data.std(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GaussianMixture(2, scaling="none", training=Training(epochs=1), random_state=0).fit(rows)
        GaussianMixture(2, training=Training(epochs=1), random_state=0).fit(rows)
    assert [w.category for w in caught if w.category is not CollapseWarning] == [ScaleWarning] * told


def test_columns_far_from_zero_are_told_where_they_are_not_scaled():
    rows = load_toy(n_components=2, random_state=0).data[:300]
    with pytest.warns(ScaleWarning, match="mean is .* standard deviations from 0; expected at most 100000"):
        GaussianMixture(2, scaling="none", collapse="ignore", training=Training(epochs=1)).fit(rows + 1e8)


def test_restarts_from_drawn_rows_find_groups_of_unequal_size_which_k_means_cuts(rng):
    """The best k-means halves the large group, so that EM from it ends the same with every seed."""
    sizes = [1000, 300, 30, 10]
    truth = np.repeat(np.arange(4), sizes)
    x = rng.normal(size=(1340, 5)) + 5 * np.eye(5)[truth]
    found = {name: mixture(4, epochs=1, start=name, n_init=10).fit(x) for name in ("em", "k-means++")}
    assert adjusted_rand_score(truth, found["em"].labels_) < 0.7
    assert adjusted_rand_score(truth, found["k-means++"].labels_) > 0.99


def test_variances_stay_in_the_range_of_the_mixture(table):
    """Here it lies above all that the likelihood asks for, so that every step leads out of it."""

    class Wide(Callback):
        def on_run_start(self, state):
            state.module.mixture.log_var_range = (5.0, 6.0)

    training = Training(epochs=1, callbacks=(Wide(),), progress=False)
    model = GaussianMixture(2, scaling="none", collapse="ignore", training=training, random_state=0)
    model.fit((table - table.mean(0)) / table.std(0))
    np.testing.assert_allclose(np.log(np.diagonal(model.covariances_, axis1=1, axis2=2)), 5.0, rtol=1e-6)
