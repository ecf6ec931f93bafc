import warnings

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, ward
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from oracles.mixtures import FAMILIES
from steinmix.mixtures import STARTS, initialise, start_mixture
from steinmix.mixtures.initialise import Backing, dithered, em_, from_labels_, separate_duplicates_
from steinmix.numerics.partitions import graph_clusters
from steinmix.random import Streams

FAMILY = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def blobs(rng):
    """Four correlated groups in three dimensions, partly overlapping."""
    roots = rng.normal(size=(4, 3, 3)) * 0.6
    centres = rng.normal(size=(4, 3)) * 2.5
    sizes = [400, 250, 200, 150]
    return np.concatenate([c + rng.normal(size=(n, 3)) @ a for c, a, n in zip(centres, roots, sizes)])


def labels_of(x, m):
    return KMeans(m, n_init=3, random_state=0).fit_predict(x)


def one_hot(labels, m):
    return torch.nn.functional.one_hot(torch.as_tensor(labels).long(), m).double()


@FAMILY
def test_m_step_sets_the_weighted_moments(blobs, rng, family):
    r = rng.dirichlet(np.ones(3), size=len(blobs))
    mixture = FAMILIES[family](3, 3).double()
    mixture.m_step_(torch.from_numpy(blobs), torch.from_numpy(r))
    np.testing.assert_allclose(mixture.log_weights().exp().detach(), r.mean(0), rtol=1e-6)
    for c in range(3):
        np.testing.assert_allclose(mixture.means[c].detach(), np.average(blobs, axis=0, weights=r[:, c]), rtol=1e-9)
        covariance = np.cov(blobs.T, aweights=r[:, c], ddof=0)
        expected = {"diag": np.diag(np.diag(covariance)), "full": covariance, "unit": np.eye(3)}[family]
        np.testing.assert_allclose(mixture.covariances()[c].detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["diag", "full"])
def test_em_reaches_the_likelihood_of_scikit_learn_from_the_same_labels(blobs, family):
    labels = labels_of(blobs, 4)
    groups = [blobs[labels == c] for c in range(4)]
    mixture = FAMILIES[family](4, 3).double()
    z = torch.from_numpy(blobs)
    from_labels_(mixture, z, labels)
    precisions = [np.linalg.inv(np.cov(g.T, ddof=0)) if family == "full" else 1 / g.var(0) for g in groups]
    peer = GaussianMixture(
        4,
        covariance_type=family,
        tol=1e-9,
        max_iter=1000,
        weights_init=[len(g) / len(blobs) for g in groups],
        means_init=[g.mean(0) for g in groups],
        precisions_init=precisions,
    ).fit(blobs)
    assert float(mixture.log_prob(z).mean().detach()) < peer.score(blobs) - 1e-2
    em_(mixture, z, max_iter=1000, tol=1e-9)
    assert float(mixture.log_prob(z).mean().detach()) == pytest.approx(peer.score(blobs), abs=1e-3)
    np.testing.assert_allclose(mixture.means.detach(), peer.means_, atol=0.02)
    np.testing.assert_allclose(mixture.log_weights().exp().detach(), peer.weights_, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@FAMILY
def test_the_likelihood_never_decreases(blobs, rng, family, dtype):
    z = torch.from_numpy(blobs).to(dtype)
    mixture = FAMILIES[family](5, 3).to(dtype)
    from_labels_(mixture, z, rng.integers(5, size=len(blobs)))
    history = np.array(em_(mixture, z, max_iter=60, tol=0.0))
    assert len(history) > 20
    assert history[-1] > history[0] + 0.05
    assert np.diff(history).min() > (-1e-9 if dtype == torch.float64 else -2e-6)


def test_em_ends_at_the_first_step_that_gains_less_than_the_tolerance(blobs, rng):
    mixture = FAMILIES["diag"](5, 3).double()
    from_labels_(mixture, torch.from_numpy(blobs), rng.integers(5, size=len(blobs)))
    gains = np.diff(em_(mixture, torch.from_numpy(blobs), max_iter=1000, tol=1e-3))
    assert gains[-1] < 1e-3 <= gains[:-1].min()


def test_em_of_a_tight_group_far_from_the_origin_keeps_its_digits(rng):
    x = np.concatenate([rng.normal(1e3, 1e-2, size=(200, 1)), rng.normal(0, 1, size=(200, 1))])
    mixture = FAMILIES["diag"](2, 1)
    from_labels_(mixture, torch.from_numpy(x).float(), np.repeat([0, 1], 200))
    assert float(mixture.covariances()[0].detach()) == pytest.approx(1e-4, rel=0.3)


@FAMILY
def test_an_empty_component_falls_back_on_all_points(blobs, family):
    labels = labels_of(blobs, 2)
    mixture = FAMILIES[family](4, 3).double()
    from_labels_(mixture, torch.from_numpy(blobs), labels)  # components 2 and 3 get nothing
    for c in (2, 3):
        np.testing.assert_allclose(mixture.means[c].detach(), blobs.mean(0))
        covariance = np.cov(blobs.T, ddof=0)
        expected = {"diag": np.diag(np.diag(covariance)), "full": covariance, "unit": np.eye(3)}[family]
        np.testing.assert_allclose(mixture.covariances()[c].detach(), expected, rtol=1e-4, atol=1e-5)
    assert float(mixture.log_weights()[2].detach()) == pytest.approx(np.log(1e-8), abs=1e-4)
    assert bool(torch.isfinite(mixture.log_prob(torch.from_numpy(blobs))).all())


@FAMILY
def test_a_component_counts_as_empty_below_a_thousandth_of_a_point(normal, family):
    z, r = normal(9, 2), torch.zeros(9, 3, dtype=torch.float64)
    r[:, 0], r[4, 1], r[5, 2] = 1.0, 2e-3, 5e-4
    mixture = FAMILIES[family](3, 2, learn_weights=False).double()
    mixture.m_step_(z, r)
    torch.testing.assert_close(mixture.means.detach(), torch.stack([z.mean(0), z[4], z.mean(0)]))
    np.testing.assert_allclose(mixture.log_weights().exp(), 1 / 3)  # these are not learnt


def test_duplicates_are_separated_by_a_little_and_no_other_is_moved(generator):
    mixture = FAMILIES["diag"](4, 2)
    with torch.no_grad():
        mixture.means.copy_(torch.tensor([[1.0, 1.0], [1.0, 1.0], [5.0, 0.0], [1.0, 1.0]]))
    assert separate_duplicates_(mixture, generator) == 2
    distance = torch.cdist(mixture.means, mixture.means) + 9 * torch.eye(4)
    assert 0 < float(distance.min().detach()) < 0.01
    assert mixture.means[[0, 2]].tolist() == [[1.0, 1.0], [5.0, 0.0]]
    assert separate_duplicates_(mixture, generator) == 0


@pytest.mark.parametrize("far", [1e4, 1e7])
def test_duplicates_far_from_zero_are_separated_beyond_rounding(generator, far):
    mixture = FAMILIES["diag"](4, 2)
    with torch.no_grad():
        mixture.means.fill_(far)
    assert separate_duplicates_(mixture, generator) == 3
    assert len({tuple(mean) for mean in mixture.means.tolist()}) == 4


def test_components_that_differ_in_variance_alone_are_no_duplicates(generator):
    mixture = FAMILIES["diag"](2, 2)
    with torch.no_grad():
        mixture.log_vars[1] = 1.0
    assert separate_duplicates_(mixture, generator) == 0


@FAMILY
@pytest.mark.parametrize("name", STARTS)
def test_starts_return_a_label_per_point_and_leave_a_sound_mixture(blobs, family, name):
    z = torch.from_numpy(blobs).float()
    mixture = FAMILIES[family](4, 3)
    labels = start_mixture(name, mixture, z, Streams(3))
    assert labels.shape == (len(blobs),)
    assert labels.dtype == np.int64
    assert set(labels.tolist()) <= set(range(4))
    assert bool(torch.isfinite(mixture.log_prob(z)).all())
    again = FAMILIES[family](4, 3)
    assert np.array_equal(labels, start_mixture(name, again, z, Streams(3)))
    assert all(torch.equal(p, q) for p, q in zip(mixture.parameters(), again.parameters()))


@pytest.mark.parametrize("name", ["em", "graph", "k-means++", "kmeans", "linkage"])
def test_starts_find_well_separated_groups(rng, name):
    truth = np.repeat(np.arange(3), 60)
    x = rng.normal(size=(180, 2)) + 12 * np.array([[0, 0], [1, 0], [0, 1]])[truth]
    labels = start_mixture(name, FAMILIES["diag"](3, 2), torch.from_numpy(x).float(), Streams(0))
    assert len(set(zip(truth.tolist(), labels.tolist()))) == 3


def mixed_table(rng, flags=2, share=0.5):
    """Four groups in three measured columns, and columns of yes and no that depend on nothing; standardised."""
    truth = np.repeat(np.arange(4), 150)
    measured = rng.normal(size=(600, 3)) + 6 * np.eye(4, 3)[truth]
    x = np.concatenate([measured, rng.uniform(size=(600, flags)) < share], axis=1)
    return torch.from_numpy((x - x.mean(0)) / x.std(0)).float(), truth


@pytest.mark.parametrize(("flags", "share"), [(2, 0.5), (3, 0.15)])
def test_the_graph_start_does_not_take_patterns_of_yes_and_no_for_clusters(rng, flags, share):
    """The points, in place of codes, have the patterns."""
    x, truth = mixed_table(rng, flags, share)
    labels = start_mixture("graph", FAMILIES["diag"](4, 3 + flags), x, Streams(0), Backing(x))
    assert adjusted_rand_score(truth, labels) > 0.95


def test_dithering_spreads_columns_of_two_values_among_measured_ones(rng):
    x, _ = mixed_table(rng)
    spread = dithered(x, Streams(0))
    assert torch.equal(spread[:, :3], x[:, :3])
    torch.testing.assert_close(spread.var(0), x.var(0), rtol=0.1, atol=0)
    for j in (3, 4):
        low, high = (spread[x[:, j] == value, j] for value in x[:, j].unique())
        step = high.mean() - low.mean()
        assert abs(float(high.min() - low.max())) < 0.01 * step  # they touch
        assert len(spread[:, j].unique()) == len(x)


def test_dithering_does_not_drown_measured_columns_in_rare_values(rng):
    """One yes in a hundred rows: even noise as wide as the step would vary eight times more than the column."""
    x, truth = mixed_table(rng, flags=5, share=0.01)
    spread = dithered(x, Streams(0)).numpy()
    assert adjusted_rand_score(truth, graph_clusters(spread, 4, Streams(0)).labels) > 0.9


@pytest.mark.parametrize("kind", ["measured", "bits", "images"])
def test_dithering_leaves_other_rows_as_they_are(rng, kind):
    x = torch.from_numpy(rng.normal(size=(50, 20)) if kind == "measured" else rng.integers(0, 2, size=(50, 20)) * 1.0)
    if kind == "images":
        x = torch.from_numpy(rng.uniform(size=(50, 20)))
        x[:, 0] = 0
        x[7, 0] = 1
    assert dithered(x, Streams(0)) is x


def test_em_starts_where_em_from_k_means_ends(blobs):
    z = torch.from_numpy(blobs).float()
    by_hand, by_name = FAMILIES["full"](4, 3), FAMILIES["full"](4, 3)
    start_mixture("kmeans", by_hand, z, Streams(0))
    em_(by_hand, z)
    labels = start_mixture("em", by_name, z, Streams(0))
    assert torch.equal(by_hand.means, by_name.means)
    assert np.array_equal(labels, by_name.responsibilities(z).argmax(-1).numpy())


@pytest.mark.parametrize("limit", [4000, 50], ids=["all pairs", "neighbours only"])
def test_linkage_cuts_the_tree_of_ward(rng, limit, monkeypatch):
    """Four spots, so that the graph of neighbours is in four parts; the tree is SciPy's."""
    monkeypatch.setattr(initialise, "LINKAGE_ROWS", limit)
    x = rng.normal(scale=0.05, size=(80, 2)) + np.repeat([[0, 0], [2, 0], [0, 9], [2, 9]], 20, axis=0)
    labels = start_mixture("linkage", FAMILIES["diag"](2, 2), torch.from_numpy(x), Streams(0))
    expected = fcluster(ward(x), 2, "maxclust")
    assert len(set(zip(labels.tolist(), expected.tolist()))) == 2
    assert len(set(labels.tolist())) == 2


def test_random_start_lies_in_the_box_of_the_points(blobs):
    z = torch.from_numpy(blobs).float()
    mixture = FAMILIES["diag"](50, 3)
    start_mixture("random", mixture, z, Streams(0))
    assert bool(((mixture.means >= z.amin(0)) & (mixture.means <= z.amax(0))).all())
    assert bool((mixture.means.std(0) > 0.2 * (z.amax(0) - z.amin(0))).all())
    np.testing.assert_allclose(mixture.log_vars.exp().detach(), np.tile(blobs.var(0), (50, 1)), rtol=1e-4)


@pytest.mark.parametrize("name", ["em", "kmeans"])
def test_fewer_distinct_points_than_components_give_no_warning(name):
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(10, 1)
    mixture = FAMILIES["diag"](4, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = start_mixture(name, mixture, x, Streams(0))
    assert labels.shape == (20,)
    assert bool(torch.isfinite(mixture.log_prob(x)).all())
    assert torch.pdist(mixture.particles().rows()).min() > 0
