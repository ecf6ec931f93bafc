"""The graph start: partitions whose answer is known, small and degenerate sets, chance from the streams alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from oracles.points import blobs
from steinmix.errors import ConfigError
from steinmix.numerics import partitions
from steinmix.numerics.graphs import edge_information, knn_graph
from steinmix.numerics.partitions import GraphStart, agreed_start, best_start, graph_clusters
from steinmix.random import Streams


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    return len(set(zip(a.tolist(), b.tolist()))) == len(set(a.tolist())) == len(set(b.tolist()))


def test_bad_parameters_are_named():
    x = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(ConfigError, match="n_clusters is 0"):
        graph_clusters(x, 0, Streams(0))


def test_local_moves_never_lose_information():
    x, labels = blobs(300, 3, spread=1.0)
    graph = knn_graph(x)
    wrong = np.where(np.random.default_rng(0).random(300) < 0.2, (labels + 1) % 3, labels)
    moved = partitions._moved(graph, wrong, 3)
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
    assert start.score < np.log(10)
    assert start.n_neighbors == 10


@pytest.mark.parametrize(("n", "k", "numbers"), [(1797, 10, [0, *range(10, 21)]), (5, 4, [0, 4, 5]), (1, 2, [0, 1])])
def test_from_no_eigenvector_to_twice_as_many_as_clusters_are_tried(n, k, numbers):
    assert partitions._numbers(n, k) == numbers


def test_same_streams_same_labels_and_no_global_generator():
    x, _ = blobs(500, 4, 20, spread=1.5)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, two = graph_clusters(x, 4, Streams(3)), graph_clusters(x, 4, Streams(3))
    assert_array_equal(one.labels, two.labels)
    assert one.score == two.score
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


def test_landmarks_carry_the_others(monkeypatch):
    x, labels = blobs(400, 3)
    monkeypatch.setattr(partitions, "MOST_NODES", 100)
    start = graph_clusters(x, 3, Streams(0))
    assert start.graph.shape == (100, 100)
    assert same_partition(start.labels, labels)


def square(n: int = 400):
    """Four equal groups at the corners of a square: in three clusters, any side can be one of them."""
    rng = np.random.default_rng(0)
    corner = np.arange(n) % 4
    return 3 * np.stack([corner // 2, corner % 2], axis=1) + 0.6 * rng.standard_normal((n, 2)), corner


def test_partitions_that_tell_nearly_as_much_are_kept():
    x, corner = square()
    start = graph_clusters(x, 3, Streams(0))
    partitions_found = [start.labels, *start.rivals]
    assert 1 <= len(start.rivals) <= partitions.RIVALS
    for number, one in enumerate(partitions_found):
        assert start.score - partitions.CLOSE < start.information(one) <= start.score
        assert not any(partitions._alike(one, other, 3) for other in partitions_found[:number])
    assert start.information(start.labels) == start.score > start.information(corner % 2)
    assert not graph_clusters(blobs(90, 3)[0], 3, Streams(0)).rivals


@pytest.mark.parametrize("most", [100, 200_000])
def test_rivals_are_labels_of_all_rows(monkeypatch, most):
    x = np.repeat(square(400)[0], 2, axis=0)
    monkeypatch.setattr(partitions, "MOST_NODES", most)
    start = graph_clusters(x, 3, Streams(0))
    assert start.rivals
    for rival in start.rivals:
        assert_array_equal(rival[::2], rival[1::2])
        assert start.information(rival) > 0.5


def test_the_judge_settles():
    start = graph_clusters(square()[0], 3, Streams(0))
    wanted, heard = start.rivals[0], []

    def judge(labels: np.ndarray) -> np.ndarray:
        heard.append(labels)
        return labels if labels is wanted else np.zeros_like(labels)

    assert start.settled(judge) is wanted
    assert len(heard) == 1 + len(start.rivals)
    assert start.settled(lambda labels: labels) is start.labels
    alone = graph_clusters(blobs(90, 3)[0], 3, Streams(0))
    assert alone.settled(judge) is alone.labels


@pytest.mark.parametrize(("moved", "alike"), [(0, True), (16, True), (17, False)])
def test_partitions_are_alike_up_to_names_and_half_a_cluster(moved, alike):
    labels = np.arange(99) % 3
    other = (labels + 1) % 3
    other[labels == 0] = np.where(np.arange(33) < moved, 2, 1)
    assert partitions._alike(labels, other, 3) == alike


def test_small_groups_far_away_leave_the_clusters_whole(monkeypatch):
    x, _ = blobs(600, 3, 2, spread=0.8)
    far = 60 + 40 * np.arange(8)[:, None] + 1e-3 * np.random.default_rng(0).standard_normal((8, 30))
    rows = np.vstack([x, np.stack([far.ravel(), -far.ravel()], axis=1)])
    monkeypatch.setattr(partitions, "_chosen_graph", lambda x, n_clusters: (knn_graph(x), 10))
    start = graph_clusters(rows, 3, Streams(0))
    monkeypatch.setattr(partitions, "_numbers", lambda n, n_clusters: [3])
    spectral = graph_clusters(rows, 3, Streams(0))
    assert start.score > spectral.score  # which cuts off one small group; k-means of the rows does not


def test_large_numbers_far_from_the_origin():
    x, labels = blobs(90, 3)
    assert same_partition(graph_clusters(1e60 * (x + 1e3), 3, Streams(0)).labels, labels)


def uneven(seed: int = 0, times: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Three clear groups of 400, 75 and 25 rows in six columns, or some times as many, and their numbers."""
    rng, sizes = np.random.default_rng(seed), (400 * times, 75 * times, 25 * times)
    return np.concatenate([rng.normal(c, 1, (n, 6)) for n, c in zip(sizes, (0, 3, -3))]), np.repeat([0, 1, 2], sizes)


def start_of(x: np.ndarray, labels: np.ndarray, score: float, *rivals: np.ndarray) -> GraphStart:
    return GraphStart(labels, score, knn_graph(x), 10, np.arange(len(x)), rivals)


def test_a_cut_that_one_graph_shows_alone_is_not_kept():
    rows, groups = uneven()
    chance = np.random.default_rng(1).normal(size=500)
    codes = np.column_stack([rows, 3 * np.where(groups == 0, chance, 0.0)])  # stretches the large group, by chance
    cut = np.where(groups == 0, chance > 0, 2).astype(np.int64)
    of_codes, of_rows = start_of(codes, cut, 0.7), start_of(rows, groups, 0.6)
    assert of_codes.information(cut) > of_codes.information(groups)
    assert of_rows.information(cut) < of_rows.information(groups)
    assert best_start([of_codes, of_rows]) is groups


def test_a_blurred_graph_is_not_outvoted_by_clear_patterns():
    rng, groups = np.random.default_rng(0), np.arange(600) % 3
    patterns, rows = rng.permutation(groups), rng.normal(3 * np.eye(3)[groups])
    clear, noisy = np.hstack([rows, 9 * np.eye(3)[patterns]]), np.hstack([rows, rng.normal(size=(600, 30))])
    of_clear = start_of(clear, patterns, edge_information(knn_graph(clear), patterns, 3, 4))
    of_noisy = start_of(noisy, groups, edge_information(knn_graph(noisy), groups, 3, 4))
    assert best_start([of_clear, of_noisy]) is patterns
    assert agreed_start(of_clear, of_noisy) is groups


def test_a_blurred_graph_alone_tells_what_hardly_touches():
    rows, groups = uneven(1, 4)
    patterns = np.random.default_rng(0).permutation(np.arange(len(rows)) % 3)
    clear = graph_clusters(np.hstack([rows, 90 * np.eye(3)[patterns]]), 3, Streams(0))
    blurred = graph_clusters(rows, 3, Streams(0))
    assert same_partition(clear.labels, patterns)
    assert not same_partition(blurred.labels, groups)  # the large one is cut in two
    assert same_partition(agreed_start(clear, blurred), groups)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_large_cluster_is_not_cut_in_two_for_more_information(seed):
    rows, groups = uneven(seed, 4)
    start = graph_clusters(rows, 3, Streams(0))
    assert start.score > start.information(groups)
    assert not same_partition(start.labels, groups)  # it is cut in two
    assert start.surest is not None
    assert start.sureness(groups) > 1.5 * start.sureness(start.labels)
    assert same_partition(best_start([start]), groups)
    assert same_partition(best_start([start, start]), groups)
    assert same_partition(best_start([start], lambda labels: pytest.fail("there is nothing to judge")), groups)


def test_rows_by_themselves_are_told_surely_and_tell_nothing():
    rows, groups = uneven(0, 4)
    start = graph_clusters(rows, 3, Streams(0))
    alone = np.zeros(len(rows), np.int64)
    alone[[0, -1]] = 1, 2
    assert start.sureness(groups) > 10 * start.sureness(alone)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_few_rows_far_off_do_not_take_the_clusters_of_all_others(seed):
    rng = np.random.default_rng(seed)
    classes = [rng.normal(4 * centre, 1, (600, 8)) for centre in np.eye(3, 8)]
    crumbs = [rng.normal(30 * centre, 0.05, (12, 8)) for centre in np.eye(2, 8, 5)]
    start = graph_clusters(np.concatenate([*classes, *crumbs]), 3, Streams(0))
    cut_off = np.repeat([0, 1, 2], [1800, 12, 12])
    assert start.sureness(cut_off) > 2 * start.sureness(start.labels)
    assert np.bincount(best_start([start])).min() > 500


def test_clusters_that_touch_are_left_to_the_judge():
    x, _ = square()
    start = graph_clusters(x, 3, Streams(0))
    wanted = start.rivals[0]
    assert start.surest is None
    assert best_start([start]) is start.labels
    assert best_start([start], lambda labels: labels if labels is wanted else np.zeros_like(labels)) is wanted


def test_of_partitions_that_are_alike_the_best_score_counts():
    rows, groups = uneven()
    nearly = groups.copy()
    nearly[:2] = 1
    assert best_start([start_of(rows, nearly, 0.7), start_of(rows, groups, 0.6)]) is nearly
    assert best_start([start_of(rows, nearly, 0.6), start_of(rows, groups, 0.7)]) is groups
    assert best_start([start_of(rows, groups, 0.7)]) is groups
