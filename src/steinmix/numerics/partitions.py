r"""Clusters from a neighbour graph, chosen by a rule that needs no labels.

K-means in a spectral embedding whose rows are brought to unit length gives a partition (Ng, Jordan and Weiss, NIPS
2001). *How many* eigenvectors decides everything: real classes overlap, so that K of them seldom suffice.
`graph_clusters` tries every number from K to 2K, and k-means of the rows themselves, for graphs whose leading
eigenvectors do no more than cut off small groups. Each partition is improved by local moves, and the one is kept whose
labels tell most about where a walk of four steps ends, `steinmix.numerics.graphs.edge_information`. (After one step
partitions that differ in a whole class are often equal to the third digit.)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConfigError
from ..random import Streams
from .graphs import checked_rows, cluster_weights, edge_information, knn_graph, spectral_embedding
from .neighbours import in_unit_box, nearest_rows

__all__ = ["GraphStart", "graph_clusters"]

FIT_ROWS = 20_000  # rows that suffice to place the centres of k-means
MOVES = 20  # rounds of local moves
WALK = 4  # steps of the walk by which partitions are compared
TINY = 1e-12


@dataclass(frozen=True)
class GraphStart:
    """What `graph_clusters` found.

    Attributes
    ----------
    labels : ndarray (n,) of int64
    n_eigenvectors, n_neighbors : int
        What was used for `labels`; no eigenvectors if they are of k-means of the rows.
    score : float
        Information of `labels` about the end of a walk of four steps, in nats; at most log(n_clusters).
    candidates : tuple of (int, float)
        (number of eigenvectors, score) of every partition tried, in order.
    """

    labels: np.ndarray
    n_eigenvectors: int
    n_neighbors: int
    score: float
    candidates: tuple[tuple[int, float], ...]


def graph_clusters(
    x: np.ndarray,
    n_clusters: int,
    streams: Streams,
    *,
    n_neighbors: int | None = None,
    n_eigenvectors: int | None = None,
    n_init: int = 5,
    max_rows: int = 200_000,
) -> GraphStart:
    """Cluster the rows by spectral clustering of their neighbour graph, without labels.

    Exact duplicates are one node and get one label. No cluster is empty if there are `n_clusters` distinct rows.

    Parameters
    ----------
    x : ndarray (n, f)
    n_clusters : int
    streams : Streams
        Source of all chance: the streams ``graph/landmarks``, ``graph/embedding`` and ``graph/kmeans``.
    n_neighbors : int, optional
        By default 10, doubled until the graph has no more parts than clusters.
    n_eigenvectors : int, optional
        By default the best of `n_clusters` to twice as many and of k-means without any, by the score.
    n_init : int
        Starts of k-means for each number of eigenvectors; the best of all by `edge_information` is kept.
    max_rows : int
        With more distinct rows, a random subset of so many is clustered and the others follow their neighbours' vote.
    """
    x = checked_rows(x)
    if n_clusters < 1 or n_init < 1:
        raise ConfigError(f"n_clusters is {n_clusters}, n_init is {n_init}; expected at least 1 of each.")
    first, inverse = _distinct(x)
    nodes = x[first]
    if len(nodes) > max_rows:
        chosen = np.sort(streams.numpy("graph/landmarks").choice(len(nodes), max_rows, replace=False))
        found = _cluster_nodes(nodes[chosen], n_clusters, streams, n_neighbors, n_eigenvectors, n_init)
        labels = _vote(nodes[chosen], found.labels, nodes, n_clusters, found.n_neighbors)
        labels[chosen] = found.labels
    else:
        found = _cluster_nodes(nodes, n_clusters, streams, n_neighbors, n_eigenvectors, n_init)
        labels = found.labels
    return replace(found, labels=labels[inverse])


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each kind, in order, and for every row the number of its kind."""
    rows = np.ascontiguousarray(x + 0.0)  # + 0.0: the bytes of -0 become those of 0
    keys = rows.view(np.dtype((np.void, rows.strides[0]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def _cluster_nodes(
    x: np.ndarray,
    n_clusters: int,
    streams: Streams,
    n_neighbors: int | None,
    n_eigenvectors: int | None,
    n_init: int,
) -> GraphStart:
    """`graph_clusters` of distinct rows."""
    n = len(x)
    graph, n_neighbors = _chosen_graph(x, n_clusters, n_neighbors)
    numbers = _numbers(n, n_clusters, n_eigenvectors)
    if n <= n_clusters or n_clusters == 1:
        labels = np.arange(n) % n_clusters
        score = edge_information(graph, labels, n_clusters, WALK)
        return GraphStart(labels, numbers[-1], n_neighbors, score, ((numbers[-1], score),))
    best, labels, tried, chosen = -1.0, np.zeros(n, dtype=np.int64), [], numbers[-1]
    for number, points in _spaces(x, graph, numbers, streams):
        score, found = _best_start(graph, points, n_clusters, streams, n_init)
        tried.append((number, score))
        if score > best:
            best, labels, chosen = score, found, number
    return GraphStart(_filled(labels, n_clusters), chosen, n_neighbors, best, tuple(tried))


def _chosen_graph(x: np.ndarray, n_clusters: int, n_neighbors: int | None) -> tuple[Any, int]:
    from scipy.sparse.csgraph import connected_components

    if n_neighbors is not None:
        return knn_graph(x, n_neighbors), n_neighbors
    n_neighbors = 10
    graph = knn_graph(x, n_neighbors)
    # rows that hang together with nobody else would each take a cluster, or an eigenvector, for themselves
    while n_neighbors < len(x) - 1 and connected_components(graph, directed=False)[0] > n_clusters:
        n_neighbors *= 2
        graph = knn_graph(x, n_neighbors)
    return graph, n_neighbors


def _numbers(n: int, n_clusters: int, n_eigenvectors: int | None) -> list[int]:
    """Numbers of eigenvectors to try: none and at most eleven from K to 2K."""
    if n_eigenvectors is not None:
        if n_eigenvectors < 1:
            raise ConfigError(f"n_eigenvectors is {n_eigenvectors}; expected at least 1.")
        return [min(n_eigenvectors, n)]
    spread = np.linspace(n_clusters, 2 * n_clusters, min(n_clusters, 10) + 1).round().astype(int)
    return sorted({0, *(min(int(q), n) for q in spread)})


def _spaces(x: np.ndarray, graph: Any, numbers: list[int], streams: Streams) -> Iterator[tuple[int, np.ndarray]]:
    """Where k-means looks: for 0 the rows, for other numbers so many eigenvectors, each row at unit length."""
    vectors, _ = spectral_embedding(graph, numbers[-1], streams.numpy("graph/embedding"))
    for number in numbers:
        if number == 0:
            yield number, in_unit_box(x)[0]
            continue
        length = np.linalg.norm(vectors[:, :number], axis=1, keepdims=True)
        yield number, (vectors[:, :number] / np.where(length > 0, length, 1)).astype(np.float32)


def _best_start(
    graph: Any, points: np.ndarray, n_clusters: int, streams: Streams, n_init: int
) -> tuple[float, np.ndarray]:
    """Score and labels of the best of `n_init` k-means starts, each improved by local moves.

    Best by information, not by inertia: inertia favours the splits that the embedding happens to stretch.
    """
    starts = [_moved(graph, _kmeans(points, n_clusters, streams), n_clusters) for _ in range(n_init)]
    scores = [edge_information(graph, labels, n_clusters, WALK) for labels in starts]
    return max(scores), starts[int(np.argmax(scores))]


def _moved(graph: Any, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Move every row to where its neighbours' labels say most, as long as the information grows."""
    score = edge_information(graph, labels, n_clusters)
    for _ in range(MOVES):
        joint = cluster_weights(graph, labels, n_clusters)
        joint = joint / joint.sum() + TINY
        share = joint.sum(axis=1)
        ties = graph @ np.eye(n_clusters)[labels]  # (n, m): weight of a row's edges into each cluster
        moved = (ties @ np.log(joint / np.outer(share, share))).argmax(axis=1)
        before, score = score, edge_information(graph, moved, n_clusters)
        if score <= before + 1e-6 or len(np.unique(moved)) < n_clusters:
            break
        labels = moved
    return labels


def _kmeans(points: np.ndarray, size: int, streams: Streams) -> np.ndarray:
    """Labels (n,) of one k-means start; the centres of a large set come from a random part of it."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    means = KMeans(size, n_init=1, random_state=streams.integer("graph/kmeans"))
    fitted = points
    if len(points) > FIT_ROWS:
        fitted = points[streams.numpy("graph/kmeans").choice(len(points), FIT_ROWS, replace=False)]
    with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):  # threads add in no fixed order
        warnings.simplefilter("ignore", ConvergenceWarning)
        return means.fit(fitted).predict(points).astype(np.int64)


def _filled(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Give each empty cluster (there is one only if k-means found too few points) a row of the largest."""
    labels = labels.astype(np.int64)
    for cluster in np.flatnonzero(np.bincount(labels, minlength=n_clusters) == 0):
        labels[np.flatnonzero(labels == np.bincount(labels).argmax())[-1]] = cluster
    return labels


def _vote(x: np.ndarray, labels: np.ndarray, queries: np.ndarray, n_clusters: int, k: int) -> np.ndarray:
    """Most frequent label among the nearest rows of `x`, (b,)."""
    _, index = nearest_rows(x, queries, min(k, len(x)))
    votes = np.stack([(labels[index] == c).sum(axis=1) for c in range(n_clusters)], axis=1)
    return votes.argmax(axis=1).astype(np.int64)
