r"""Clusters from a neighbour graph, chosen by a rule that needs no labels.

K-means in a spectral embedding whose rows are brought to unit length gives a partition (Ng, Jordan and Weiss, NIPS
2001). *How many* eigenvectors decides everything: real classes overlap, so that K of them seldom suffice.
`graph_clusters` tries up to eleven numbers from K to 2K, and k-means of the rows themselves, for graphs whose leading
eigenvectors do no more than cut off small groups. Each partition is improved by local moves, and the one is kept whose
labels tell most about where a walk of four steps ends, `steinmix.numerics.graphs.edge_information`. (After one step
partitions that differ in a whole class are often equal to the third digit.)

Where two such partitions are nearly equal, the graph cannot settle between them: on the codes of USPS one that takes
two digits for one and cuts a third in two scores 1.825, the right one 1.820. `GraphStart.settled` asks a judge.

Where clusters hardly touch, a large one cut in two may tell more in four steps than one left whole. At the end of a
long walk it does not (`steinmix.numerics.graphs.long_walk`), and `best_start` keeps what is told surely there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from .._params import check_at_least
from ..random import Streams
from .graphs import (
    LongWalk,
    checked_rows,
    cluster_weights,
    edge_information,
    knn_graph,
    long_walk,
    spectral_embedding,
)
from .neighbours import in_unit_box, nearest_rows
from .shared import without_convergence_warnings

__all__ = ["GraphStart", "agreed_start", "best_start", "graph_clusters"]

NEIGHBOURS = 10  # of a row, doubled until the graph has no more parts than clusters
MOST_NODES = 200_000  # distinct rows that are clustered; the others follow their neighbours' vote
KMEANS_STARTS = 5  # for each number of eigenvectors
FIT_ROWS = 20_000  # rows that suffice to place the centres of k-means
MOVES = 20  # rounds of local moves
WALK = 4  # steps of the walk by which partitions are compared
CLOSE = 0.04  # nats by which a rival may stand behind the best partition
ALIKE = 0.5  # share of a cluster of mean size by which partitions that count as one may differ
RIVALS = 2  # rivals of the best partition that are kept
BEFORE = 2.0  # weight of a rival's own score beside that after it was judged, which spreads about twice as much
SURER = 1.25  # times as surely told, from which a partition of less information is kept
FIRM = 2 / 3  # of a partition's entropy, which is told over a long walk where its clusters hardly touch
HEARD = 1 / 4  # of the highest score; below, all but a few rows are one cluster, whose parts the graph knows
TINY = 1e-12


@dataclass(frozen=True)
class GraphStart:
    """What `graph_clusters` found.

    Attributes
    ----------
    labels : ndarray (n,) of int64
    score : float
        Information of `labels` about the end of a walk of four steps, in nats; at most log(n_clusters).
    graph : scipy.sparse.csr_matrix
        Its nodes are distinct rows.
    n_neighbors : int
        By which rows are joined.
    nodes : ndarray
        The row of each node.
    rivals : tuple of ndarray (n,) of int64
        Other partitions that score nearly as high and differ from `labels`, and from each other, in more than details.
    surest : ndarray (n,) of int64, optional
        Of all partitions tried that which is told most surely over a long walk; None if clusters touch, or if it
        scores far less than `labels`, as few rows cut off from all others do.
    walk : LongWalk, optional
        That walk, from node to node.
    """

    labels: np.ndarray
    score: float
    graph: Any
    n_neighbors: int
    nodes: np.ndarray
    rivals: tuple[np.ndarray, ...] = ()
    surest: np.ndarray | None = None
    walk: LongWalk | None = None

    def information(self, labels: np.ndarray) -> float:
        """Return the score of any labels (n,), or of probabilities (n, m)."""
        m = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
        return edge_information(self.graph, labels[self.nodes], m, WALK)

    def sureness(self, labels: np.ndarray) -> float:
        """Return how surely labels (n,) are told over the long walk: information times its share of their entropy.

        Information alone favours clusters of equal size, so that a large one that is cut in two may have more of it
        than one left whole; the share alone favours clusters of one row.
        """
        return 0.0 if self.walk is None else math.prod(_told(self.walk, labels[self.nodes]))

    def settled(self, judge: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return `labels` or the rival that scores highest together with what `judge` makes of it, (n,) or (n, m)."""
        if not self.rivals:
            return self.labels
        return max((self.labels, *self.rivals), key=lambda y: BEFORE * self.information(y) + self.information(judge(y)))


def graph_clusters(x: np.ndarray, n_clusters: int, streams: Streams) -> GraphStart:
    """Cluster the rows by spectral clustering of their neighbour graph, without labels.

    Exact duplicates are one node and get one label. No cluster is empty if there are `n_clusters` distinct rows.
    Of more than `MOST_NODES` distinct rows a random subset is clustered.

    Parameters
    ----------
    x : ndarray (n, f)
    n_clusters : int
    streams : Streams
        Source of all chance: the streams ``graph/landmarks``, ``graph/embedding`` and ``graph/kmeans``.
    """
    x = checked_rows(x)
    check_at_least("n_clusters", n_clusters, 1)
    first, inverse = _distinct(x)
    nodes, chosen = x[first], np.arange(len(first))
    if len(nodes) > MOST_NODES:
        chosen = np.sort(streams.numpy("graph/landmarks").choice(len(nodes), MOST_NODES, replace=False))
    found = _cluster_nodes(nodes[chosen], n_clusters, streams)

    others = np.setdiff1d(np.arange(len(nodes)), chosen, assume_unique=True)
    if len(others):
        _, nearest = nearest_rows(nodes[chosen], nodes[others], min(found.n_neighbors, len(chosen)))

    def of_all_rows(labels: np.ndarray) -> np.ndarray:
        every = np.empty(len(nodes), np.int64)
        every[chosen] = labels
        if len(others):
            every[others] = _vote(labels[nearest], n_clusters)
        return every[inverse]

    rivals = tuple(of_all_rows(labels) for labels in found.rivals)
    surest = None if found.surest is None else of_all_rows(found.surest)
    return replace(found, labels=of_all_rows(found.labels), rivals=rivals, surest=surest, nodes=first[chosen])


def best_start(found: Sequence[GraphStart], judge: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """Return the labels (n,) to keep of what was found in several graphs of the same rows.

    Clusters that hardly touch come first: a partition that is told much more surely than that of the highest score,
    which cuts one of its clusters in two. Otherwise the judge, if there is one, settles between the highest
    score and its rivals. Without a judge it is the highest score where the best of each graph are alike. Where they are
    not, one of them cuts what holds together in the other graph: then it is the partition, rivals included, that tells
    most about all graphs together.
    """
    best = max(found, key=attrgetter("score"))

    def sureness(labels: np.ndarray) -> float:
        return sum(start.sureness(labels) for start in found)

    surest = max((start.surest for start in found if start.surest is not None), key=sureness, default=None)
    if surest is not None and sureness(surest) > SURER * sureness(best.labels):
        return surest
    if judge is not None:
        return best.settled(judge)
    m = max(int(start.labels.max()) for start in found) + 1
    if all(_alike(best.labels, start.labels, m) for start in found):
        return best.labels
    every = (labels for start in found for labels in (start.labels, *start.rivals))
    return max(every, key=lambda labels: sum(start.information(labels) for start in found))


def agreed_start(clear: GraphStart, blurred: GraphStart) -> np.ndarray:
    """Return the labels (n,) to keep of two graphs of the same rows, one of which was blurred on purpose.

    Its partitions tell less for that, and in nats it would be outvoted whatever it says. So each graph has one voice:
    what a partition tells counts as a share of what the graph's own partition tells. Where clusters hardly touch only
    the blurred graph is asked, for it was blurred because patterns that are no clusters hardly touch either.
    """
    found = [clear, blurred]
    every = (labels for start in found for labels in (start.labels, *start.rivals))
    best = max(every, key=lambda labels: sum(start.information(labels) / max(start.score, TINY) for start in found))
    surest = blurred.surest
    if surest is not None and blurred.sureness(surest) > SURER * blurred.sureness(best):
        return surest
    return best


def _told(walk: LongWalk, labels: np.ndarray) -> tuple[float, float]:
    """Return the information of labels (n,) about the end of the walk, and its share of their entropy."""
    counts = np.bincount(labels)
    p = counts[counts > 0] / len(labels)
    information = walk.information(labels, len(counts))
    return information, information / max(float(-(p * np.log(p)).sum()), TINY)


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each kind, in order, and for every row the number of its kind."""
    rows = np.ascontiguousarray(x + 0.0)  # + 0.0: the bytes of -0 become those of 0
    keys = rows.view(np.dtype((np.void, rows.strides[0]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def _cluster_nodes(x: np.ndarray, n_clusters: int, streams: Streams) -> GraphStart:
    """`graph_clusters` of distinct rows."""
    graph, n_neighbors = _chosen_graph(x, n_clusters)
    nodes = np.arange(len(x))
    if len(x) <= n_clusters or n_clusters == 1:
        labels = nodes % n_clusters
        return GraphStart(labels, edge_information(graph, labels, n_clusters, WALK), graph, n_neighbors, nodes)
    numbers = _numbers(len(x), n_clusters)
    vectors, values = spectral_embedding(graph, numbers[-1], streams.numpy("graph/embedding"))
    walk = long_walk(graph, vectors, values, n_clusters, WALK)
    places: list[_Place] = []
    for number in numbers:
        points = _space(x, vectors, number)
        places += [_start(graph, walk, points, n_clusters, streams) for _ in range(KMEANS_STARTS)]
    best, *others = _podium(places, n_clusters)
    rivals = tuple(_filled(other.labels, n_clusters) for other in others if other.score > best.score - CLOSE)
    labels, surest = _filled(best.labels, n_clusters), _surest(places, best.score, n_clusters)
    return GraphStart(labels, best.score, graph, n_neighbors, nodes, rivals, surest, walk)


def _chosen_graph(x: np.ndarray, n_clusters: int) -> tuple[Any, int]:
    """Return the graph, and by how many neighbours rows are joined in it."""
    from scipy.sparse.csgraph import connected_components

    n_neighbors = NEIGHBOURS
    graph = knn_graph(x, n_neighbors)
    # rows that hang together with nobody else would each take a cluster, or an eigenvector, for themselves
    while n_neighbors < len(x) - 1 and connected_components(graph, directed=False)[0] > n_clusters:
        n_neighbors *= 2
        graph = knn_graph(x, n_neighbors)
    return graph, n_neighbors


def _numbers(n: int, n_clusters: int) -> list[int]:
    """Numbers of eigenvectors to try: none and at most eleven from K to 2K."""
    spread = np.linspace(n_clusters, 2 * n_clusters, min(n_clusters, 10) + 1).round().astype(int)
    return sorted({0, *(min(int(q), n) for q in spread)})


def _space(x: np.ndarray, vectors: np.ndarray, number: int) -> np.ndarray:
    """Return where k-means looks: for 0 the rows, for other numbers so many eigenvectors, each row at unit length."""
    if number == 0:
        return in_unit_box(x)[0]
    length = np.linalg.norm(vectors[:, :number], axis=1, keepdims=True)
    return (vectors[:, :number] / np.where(length > 0, length, 1)).astype(np.float32)


class _Place(NamedTuple):
    """A partition, its score, and how it is told over a long walk."""

    score: float
    labels: np.ndarray
    told: tuple[float, float]


def _start(graph: Any, walk: LongWalk, points: np.ndarray, n_clusters: int, streams: Streams) -> _Place:
    """One start of k-means, improved by local moves.

    Starts are compared by information, not by inertia, which favours the splits that the embedding happens to stretch.
    """
    labels = _moved(graph, _kmeans(points, n_clusters, streams), n_clusters)
    return _Place(edge_information(graph, labels, n_clusters, WALK), labels, _told(walk, labels))


def _podium(places: list[_Place], n_clusters: int) -> list[_Place]:
    """Return the best and its rivals, highest score first; of partitions that are alike the best."""
    kept: list[_Place] = []
    for place in sorted(places, key=lambda place: -place.score):
        if len(kept) <= RIVALS and not any(_alike(place.labels, other.labels, n_clusters) for other in kept):
            kept.append(place)
    return kept


def _surest(places: list[_Place], score: float, n_clusters: int) -> np.ndarray | None:
    """Return the partition told most surely over the long walk, of those that count beside the highest score."""
    firm = (place for place in places if place.told[1] > FIRM and place.score > HEARD * score)
    found = max(firm, key=lambda place: math.prod(place.told), default=None)
    return None if found is None else _filled(found.labels, n_clusters)


def _alike(a: np.ndarray, b: np.ndarray, n_clusters: int) -> bool:
    """Say whether each of two partitions predicts the other but for less than a part of a cluster."""
    table = np.bincount(a * n_clusters + b, minlength=n_clusters**2).reshape(n_clusters, n_clusters)
    return min(table.max(axis=0).sum(), table.max(axis=1).sum()) > (1 - ALIKE / n_clusters) * len(a)


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
    from threadpoolctl import threadpool_limits

    means = KMeans(size, n_init=1, random_state=streams.integer("graph/kmeans"))
    fitted = points
    if len(points) > FIT_ROWS:
        fitted = points[streams.numpy("graph/kmeans").choice(len(points), FIT_ROWS, replace=False)]
    with without_convergence_warnings(), threadpool_limits(1, user_api="openmp"):  # threads add in no fixed order
        return means.fit(fitted).predict(points).astype(np.int64)


def _filled(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Give each empty cluster (there is one only if k-means found too few points) a row of the largest."""
    labels = labels.astype(np.int64)
    for cluster in np.flatnonzero(np.bincount(labels, minlength=n_clusters) == 0):
        labels[np.flatnonzero(labels == np.bincount(labels).argmax())[-1]] = cluster
    return labels


def _vote(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Most frequent of each row of labels (b, k), (b,)."""
    return np.stack([(labels == c).sum(axis=1) for c in range(n_clusters)], axis=1).argmax(axis=1)
