"""The graph start against double loops, dense eigenvectors and graphs whose answer is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import ArpackNoConvergence

from steinmix.errors import ConfigError, DataError
from steinmix.numerics import graphs, neighbours
from steinmix.numerics.graphs import (
    edge_information,
    graph_clusters,
    knn_graph,
    normalized_cut,
    spectral_embedding,
)
from steinmix.random import Streams


def blobs(n: int = 60, k: int = 3, f: int = 2, spread: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = 4 * np.eye(max(k, f))[:k, :f] if k <= f else 4 * rng.standard_normal((k, f))
    labels = np.arange(n) % k
    return centres[labels] + spread * rng.standard_normal((n, f)), labels


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


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return len(set(zip(a.tolist(), b.tolist()))) == len(set(a.tolist())) == len(set(b.tolist()))


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
    with pytest.raises(ConfigError, match="n_clusters is 0"):
        graph_clusters(x, 0, Streams(0))
    with pytest.raises(ConfigError, match="n_eigenvectors is 0"):
        graph_clusters(x, 2, Streams(0), n_eigenvectors=0)


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


def test_normalized_cut_is_the_definition():
    graph = knn_graph(blobs(30)[0], 4)
    labels = np.random.default_rng(0).integers(3, size=30)
    dense = graph.toarray()
    for c, cut in enumerate(normalized_cut(graph, labels, 3)):
        inside, outside = labels == c, labels != c
        assert_allclose(cut, dense[np.ix_(inside, outside)].sum() / dense[inside].sum())


def test_normalized_cut_of_known_graphs():
    assert_allclose(normalized_cut(ring(8), np.repeat([0, 1], 4), 2), 0.25)  # 2 of 8 edge ends leave
    assert_allclose(normalized_cut(cliques(3, 4), np.repeat([0, 1], [3, 4]), 3), [0, 0, 1])


def test_edge_information_of_known_graphs():
    assert_allclose(edge_information(cliques(4, 4), np.repeat([0, 1], 4), 2), np.log(2))
    assert_allclose(edge_information(cliques(4, 4), np.zeros(8, int), 2), 0)
    p = np.array([[3, 1], [1, 3]]) / 8  # the ring of eight cut into halves
    assert_allclose(edge_information(ring(8), np.repeat([0, 1], 4), 2), (p * np.log(4 * p)).sum())
    assert edge_information(csr_matrix((3, 3)), np.zeros(3, int), 1) == 0


def test_local_moves_never_lose_information():
    x, labels = blobs(300, 3, spread=1.0)
    graph = knn_graph(x)
    wrong = np.where(np.random.default_rng(0).random(300) < 0.2, (labels + 1) % 3, labels)
    moved = graphs._moved(graph, wrong, 3)
    assert edge_information(graph, moved, 3) > edge_information(graph, wrong, 3)
    assert (moved == labels).mean() > (wrong == labels).mean()


def two_moons(n: int = 400):
    rng = np.random.default_rng(0)
    angle, labels = rng.uniform(0, np.pi, n), np.arange(n) % 2
    x = np.stack([np.cos(angle) + labels, np.sin(angle) * (1 - 2 * labels) + 0.3 * labels], axis=1)
    return x + 0.05 * rng.standard_normal((n, 2)), labels


@pytest.mark.parametrize("data", [blobs(90, 3), blobs(500, 6, 20), two_moons()])
def test_separate_classes_are_found(data):
    x, labels = data
    assert same_partition(graph_clusters(x, labels.max() + 1, Streams(0)).labels, labels)


def test_digits():
    from scipy.optimize import linear_sum_assignment
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    start = graph_clusters(x, 10, Streams(0))
    table = np.zeros((10, 10))
    np.add.at(table, (start.labels, y), 1)
    assert table[linear_sum_assignment(-table)].sum() / len(y) > 0.85
    assert [q for q, _ in start.candidates] == list(range(10, 21))
    assert max(score for _, score in start.candidates) <= start.score < np.log(10)
    assert start.n_neighbors == 10


def test_same_streams_same_labels_and_no_global_generator():
    x, _ = blobs(500, 4, 20, spread=1.5)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, two = graph_clusters(x, 4, Streams(3)), graph_clusters(x, 4, Streams(3))
    assert_array_equal(one.labels, two.labels)
    assert one.score == two.score
    assert one.candidates == two.candidates
    assert random.getstate() == states[0]
    assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize(
    ("n", "k", "f"), [(5, 3, 2), (5, 5, 1), (3, 5, 2), (1, 1, 1), (1, 3, 1), (2, 1, 4), (40, 7, 1)]
)
def test_small_sets_fill_their_clusters(n, k, f):
    x = np.random.default_rng(n).standard_normal((n, f))
    start = graph_clusters(x, k, Streams(0))
    assert start.labels.shape == (n,)
    assert start.labels.dtype == np.int64
    assert len(np.unique(start.labels)) == min(n, k)
    assert start.labels.max() < k


def test_equal_rows_have_equal_labels():
    x = np.random.default_rng(0).standard_normal((12, 3))
    many = np.vstack([x] * 20)
    start = graph_clusters(many, 4, Streams(0))
    assert_array_equal(start.labels, np.tile(start.labels[:12], 20))
    assert len(np.unique(start.labels)) == 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, bool])
def test_all_rows_identical(dtype):
    assert_array_equal(graph_clusters(np.ones((9, 2), dtype), 3, Streams(0)).labels, 0)


def test_zero_and_minus_zero_are_one_row():
    x = np.array([[0.0], [-0.0], [5.0]])
    labels = graph_clusters(x, 2, Streams(0)).labels
    assert labels[0] == labels[1] != labels[2]


def test_many_small_parts():
    centres = 100 * np.arange(15.0)[:, None]
    x = (centres + np.random.default_rng(0).standard_normal((15, 12))).ravel()[:, None]
    start = graph_clusters(x, 3, Streams(0))  # 15 parts of 12 rows: at 10 neighbours nothing joins them
    assert start.n_neighbors > 10
    assert len(np.unique(start.labels)) == 3
    given = graph_clusters(x, 3, Streams(0), n_neighbors=10)
    assert given.n_neighbors == 10
    assert len(np.unique(given.labels)) == 3


def test_landmarks_carry_the_others():
    x, labels = blobs(400, 3)
    start = graph_clusters(x, 3, Streams(0), max_rows=100)
    assert same_partition(start.labels, labels)


def test_chosen_settings_are_kept():
    start = graph_clusters(blobs(90, 3)[0], 3, Streams(0), n_neighbors=6, n_eigenvectors=4)
    assert (start.n_neighbors, start.n_eigenvectors) == (6, 4)
    assert [q for q, _ in start.candidates] == [4]
