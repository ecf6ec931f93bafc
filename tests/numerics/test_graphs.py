"""The graph start against double loops, dense eigenvectors and graphs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import ArpackNoConvergence

from oracles.points import blobs
from steinmix.errors import ConfigError, DataError
from steinmix.numerics import graphs, neighbours
from steinmix.numerics.graphs import (
    edge_information,
    joined,
    knn_graph,
    long_walk,
    spectral_embedding,
)


def cliques(*sizes: int) -> csr_matrix:
    dense = np.zeros((sum(sizes), sum(sizes)))
    for start, size in zip(np.cumsum((0, *sizes)), sizes):
        dense[start : start + size, start : start + size] = 1
    np.fill_diagonal(dense, 0)
    return csr_matrix(dense)


def ring(n: int) -> csr_matrix:
    shift = np.roll(np.eye(n), 1, axis=0)
    return csr_matrix(shift + shift.T)


def slow_graph(x: np.ndarray, k: int) -> np.ndarray:
    """Twin of `knn_graph`: the definition, row by row."""
    n = len(x)
    distance = np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])
    near = [sorted((j for j in range(n) if j != i), key=lambda j: distance[i, j])[:k] for i in range(n)]
    scale = [distance[i, near[i][min(7, k) - 1]] for i in range(n)]
    weights = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if j in near[i] or i in near[j]:
                weights[i, j] = np.exp(-(distance[i, j] ** 2) / (scale[i] * scale[j]))
    return weights


@pytest.mark.parametrize("k", [3, 9])
@pytest.mark.parametrize("f", [2, 20])
def test_weights_are_the_definition(k, f):
    x = np.random.default_rng(k + f).gamma(2.0, size=(40, f))
    graph = knn_graph(x, k)
    assert_allclose(graph.toarray(), slow_graph(x, k), rtol=1e-10)
    assert (graph != graph.T).nnz == 0
    assert graph.diagonal().sum() == 0


def test_blocks_do_not_change_the_graph(monkeypatch):
    x = np.random.default_rng(0).standard_normal((70, 20))
    whole = knn_graph(x, 5)
    monkeypatch.setattr(neighbours, "BLOCK", 150)
    assert_array_equal(knn_graph(x, 5).toarray(), whole.toarray())


def test_block_search_is_exact_far_from_the_origin():
    x = np.random.default_rng(0).standard_normal((50, 20))
    assert_allclose(knn_graph(x + 1e6, 5).toarray(), knn_graph(x, 5).toarray(), rtol=1e-6)


def test_graph_does_not_depend_on_the_unit():
    x = np.random.default_rng(1).standard_normal((30, 3))
    assert_allclose(knn_graph(1e-3 * x, 4).toarray(), knn_graph(x, 4).toarray(), rtol=1e-9)


def test_more_duplicates_than_neighbours():
    x = np.vstack([np.zeros((20, 2)), np.random.default_rng(0).standard_normal((20, 2))])
    graph = knn_graph(x, 5)
    assert np.isfinite(graph.data).all()
    assert graph.data.min() > 0
    assert graph.diagonal().sum() == 0


def test_a_far_row_keeps_an_edge():
    x = np.append(np.random.default_rng(0).standard_normal(50), 1e6)[:, None]
    assert np.asarray(knn_graph(x, 5).sum(axis=1)).min() > 0


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_rows_than_neighbours(n):
    graph = knn_graph(np.arange(n, dtype=float)[:, None], 10)
    assert graph.shape == (n, n)
    assert graph.nnz == n * (n - 1)


@pytest.mark.parametrize("x", [np.zeros(3), np.zeros((0, 2)), np.array([[np.nan]]), np.array([["a"]])])
def test_bad_rows_are_named(x):
    with pytest.raises(DataError, match="expected a matrix of finite numbers"):
        knn_graph(x)


def test_bad_parameters_are_named():
    x = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(ConfigError, match="n_neighbors is 0"):
        knn_graph(x, 0)
    with pytest.raises(ConfigError, match="n_components is 10"):
        spectral_embedding(knn_graph(x), 10, np.random.default_rng(0))


@pytest.mark.parametrize("solver", ["dense", "arpack", "lobpcg"])
def test_embedding_is_that_of_dense_eigh(solver, monkeypatch):
    x, _ = blobs(150, 3, 5, spread=1.5)
    graph = knn_graph(x, 8)
    if solver != "dense":
        monkeypatch.setattr(graphs, "DENSE_ROWS", 0)
    if solver == "lobpcg":

        def fail(*args, **kwargs):
            raise ArpackNoConvergence("no", np.zeros(0), np.zeros((0, 0)))

        monkeypatch.setattr("scipy.sparse.linalg.eigsh", fail)
    vectors, values = spectral_embedding(graph, 6, np.random.default_rng(0))
    degree = graph.toarray().sum(axis=1)
    matrix = graph.toarray() / np.sqrt(np.outer(degree, degree))
    assert_allclose(values, np.linalg.eigvalsh(matrix)[::-1][:6], atol=1e-6)
    assert_allclose(vectors.T @ vectors, np.eye(6), atol=1e-5)
    assert_allclose(matrix @ vectors, vectors * values, atol=1e-3)
    assert (np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], 0) > 0).all()


def test_ring_has_cosines_for_eigenvalues():
    _, values = spectral_embedding(ring(300), 5, np.random.default_rng(0))
    assert_allclose(values, np.cos(2 * np.pi * np.array([0, 1, 1, 2, 2]) / 300), atol=1e-9)


@pytest.mark.parametrize("sizes", [(5, 7), (300, 200), (3, 4, 5)])
def test_separate_cliques_have_one_vector_each(sizes):
    vectors, values = spectral_embedding(cliques(*sizes), len(sizes) + 1, np.random.default_rng(0))
    parts = np.repeat(np.arange(len(sizes)), sizes)
    largest_first = np.argsort(-np.array(sizes))
    expected = (parts[:, None] == largest_first) / np.sqrt(np.array(sizes)[largest_first])
    assert_allclose(vectors[:, :-1], expected, atol=1e-12)
    assert_allclose(values[:-1], 1)
    assert values[-1] < 0


def test_more_parts_than_components_keeps_the_heaviest():
    vectors, values = spectral_embedding(cliques(2, 9, 5), 2, np.random.default_rng(0))
    assert_allclose(values, 1)
    assert_array_equal((vectors > 0).sum(axis=0), [9, 5])


def test_a_node_without_edges_is_a_part():
    graph = csr_matrix(np.pad(cliques(4, 4).toarray(), (0, 1)))
    vectors, _ = spectral_embedding(graph, 3, np.random.default_rng(0))
    assert_array_equal(np.flatnonzero(vectors[:, 2]), [8])


def test_edge_information_of_known_graphs():
    assert_allclose(edge_information(cliques(4, 4), np.repeat([0, 1], 4), 2), np.log(2))
    assert_allclose(edge_information(cliques(4, 4), np.zeros(8, int), 2), 0)
    p = np.array([[3, 1], [1, 3]]) / 8  # the ring of eight cut into halves
    assert_allclose(edge_information(ring(8), np.repeat([0, 1], 4), 2), (p * np.log(4 * p)).sum())
    assert edge_information(csr_matrix((3, 3)), np.zeros(3, int), 1) == 0


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_information_of_a_walk_is_the_definition(steps):
    graph = knn_graph(blobs(30, spread=1.5)[0], 4)
    labels = np.random.default_rng(0).integers(3, size=30)
    degree = graph.toarray().sum(axis=1)
    walk = np.linalg.matrix_power(graph.toarray() / degree[:, None], steps)
    member = np.eye(3)[labels]
    joint = member.T @ (degree[:, None] * walk) @ member / degree.sum()
    share = joint.sum(axis=1)
    assert_allclose(edge_information(graph, labels, 3, steps), (joint * np.log(joint / np.outer(share, share))).sum())


@pytest.mark.parametrize("steps", [1, 3])
def test_a_node_without_edges_has_no_part_in_a_walk(steps):
    whole, labels = cliques(4, 3), np.array([0, 0, 0, 1, 1, 1, 1])
    apart = cliques(4, 3, 1)
    expected = edge_information(whole, labels, 2, steps)
    assert edge_information(apart, np.append(labels, 0), 2, steps) == pytest.approx(expected, rel=1e-12)


def test_the_end_of_a_long_walk_is_that_of_the_walk_itself():
    """All eigenvectors are exact; twice as many as clusters do where the others have faded."""
    x, labels = blobs(120, 3, 2, spread=1.5)
    graph = knn_graph(x)
    vectors, values = spectral_embedding(graph, 120, np.random.default_rng(0))
    some, every = (long_walk(graph, vectors[:, :q], values[:q], 3) for q in (6, 120))
    assert some.steps == every.steps == int(np.ceil(-1 / np.log(values[3]))) > 10
    known = edge_information(graph, labels, 3, every.steps)
    assert every.information(labels, 3) == pytest.approx(known, rel=1e-6)
    assert some.information(labels, 3) == pytest.approx(known, rel=0.1)


def test_a_long_walk_of_few_steps_or_few_vectors():
    graph = cliques(5, 5, 5)
    vectors, values = spectral_embedding(graph, 4, np.random.default_rng(0))
    assert long_walk(graph, vectors, values, 3, 4).steps == 4  # nothing but the cliques is left after one
    parts = np.repeat([0, 1, 2], 5)
    assert long_walk(graph, vectors[:, :3], values[:3], 3).information(parts, 3) == pytest.approx(np.log(3))
    assert long_walk(graph, vectors[:, :1], values[:1], 3).information(parts, 3) == pytest.approx(0, abs=1e-12)


def test_what_few_vectors_tell_of_finer_labels_counts_no_weight_below_zero():
    graph, labels = ring(12), np.repeat(np.arange(6), 2)
    walk = long_walk(graph, *spectral_embedding(graph, 6, np.random.default_rng(0)), 5)
    sums = np.eye(6)[labels].T @ walk.points
    joint = (sums * walk.left) @ sums.T
    assert joint.min() < -0.1  # between parts that no edge joins, as vectors are missing
    joint = np.maximum(joint, 0)
    joint /= joint.sum()
    share, some = joint.sum(axis=1), joint > 0
    expected = (joint[some] * np.log(joint[some] / np.outer(share, share)[some])).sum()
    assert walk.information(labels, 6) == pytest.approx(expected, rel=1e-9)


def test_probabilities_of_labels_may_be_told_in_their_place():
    x, labels = blobs(60, 3)
    graph = knn_graph(x)
    sure = np.eye(3)[labels]
    assert edge_information(graph, sure, 3, 4) == pytest.approx(edge_information(graph, labels, 3, 4), abs=1e-12)
    unsure = 0.8 * sure + 0.2 / 3
    assert 0 < edge_information(graph, unsure, 3, 4) < edge_information(graph, labels, 3, 4)


def test_parts_are_joined_where_they_are_nearest() -> None:
    x = np.array([[0.0], [1.0], [2.0], [5.0], [6.0], [-9.0], [-8.0], [-12.0]])
    ends = np.array([[0, 1], [1, 2], [3, 4], [5, 6]]).T
    graph = csr_matrix((np.ones(4), tuple(ends)), shape=(8, 8))
    graph = graph + graph.T
    ties = (joined(graph, x) - graph).tocoo()
    found = {(int(i), int(j)) for i, j in zip(ties.row, ties.col)}
    assert found == {(2, 3), (3, 2), (0, 6), (6, 0), (5, 7), (7, 5)}
    assert joined(cliques(3), x[:3]).nnz == 6
