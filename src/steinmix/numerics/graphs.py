r"""Clusters from a neighbour graph: self-tuned weights, spectral embedding, and a rule that needs no labels.

Rows become the nodes of a symmetric k-nearest-neighbour graph with local scales [1]_,

.. math:: w_{ij} = \exp(-\|x_i - x_j\|^2 / (s_i s_j)), \qquad s_i = \text{distance to the 7th neighbour},

and are embedded by the leading eigenvectors of :math:`D^{-1/2} W D^{-1/2}`, each row at unit length [2]_. K-means
in that space gives a partition. *How many* eigenvectors decides everything: real classes overlap, so that K of
them seldom suffice. `graph_clusters` tries every number from K to 2K and keeps the partition whose labels tell
most about a neighbour's, that is, with the largest mutual information of the labels at the two ends of a random
edge [3]_,

.. math:: I = \sum_{ab} p_{ab} \log\frac{p_{ab}}{p_a p_b},
          \qquad p_{ab} = \sum_{ij} w_{ij} [l_i = a, l_j = b] \Big/ \sum_{ij} w_{ij}.

The normalised cut alone prefers to cut off small groups; :math:`I` also asks for a large entropy of the sizes.

References
----------
.. [1] L. Zelnik-Manor and P. Perona, Self-tuning spectral clustering, NIPS 2004.
.. [2] A. Ng, M. Jordan and Y. Weiss, On spectral clustering: analysis and an algorithm, NIPS 2001.
.. [3] M. Faccin, M. Schaub and J.-C. Delvenne, State aggregations in Markov chains and block models of networks,
   Physical Review Letters 127, 2021.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from ..random import Streams
from .neighbours import nearest_rows

__all__ = [
    "GraphStart",
    "edge_information",
    "graph_clusters",
    "knn_graph",
    "normalized_cut",
    "spectral_embedding",
]

LOCAL_SCALE = 7  # the neighbour whose distance is a row's scale (Zelnik-Manor and Perona)
MIN_WEIGHT = 1e-12  # keeps far rows attached when the exponential underflows
DENSE_ROWS = 400  # below, a full eigendecomposition is faster and never fails
FIT_ROWS = 20_000  # rows that suffice to place the centres of k-means
MOVES = 20  # rounds of local moves


@dataclass(frozen=True)
class GraphStart:
    """What `graph_clusters` found.

    Attributes
    ----------
    labels : ndarray (n,) of int64
    n_eigenvectors, n_neighbors : int
        What was used for `labels`.
    score : float
        Edge information of `labels` in nats; at most log(n_clusters).
    candidates : tuple of (int, float)
        (number of eigenvectors, score) of every partition tried, in order.
    """

    labels: np.ndarray
    n_eigenvectors: int
    n_neighbors: int
    score: float
    candidates: tuple[tuple[int, float], ...]


def knn_graph(x: np.ndarray, n_neighbors: int = 10) -> Any:
    """Return the symmetric k-nearest-neighbour graph of the rows with self-tuned weights.

    Two rows are joined if either is among the nearest `n_neighbors` of the other.

    Parameters
    ----------
    x : ndarray (n, f)
    n_neighbors : int
        Neighbours of a row, itself not counted; at most n - 1 are used.

    Returns
    -------
    scipy.sparse.csr_matrix (n, n)
        Float64, symmetric, zero diagonal, weights in (0, 1].

    Raises
    ------
    DataError
        If `x` is not a matrix of finite numbers.
    ConfigError
        If `n_neighbors` is less than 1.
    """
    from scipy.sparse import csr_matrix

    x = _checked(x)
    if n_neighbors < 1:
        raise ConfigError(f"n_neighbors is {n_neighbors}; expected at least 1.")
    n, k = len(x), min(n_neighbors, len(x) - 1)
    if k < 1:
        return csr_matrix((n, n))
    distances, index = nearest_rows(x, x, k, same=True)
    scale = _local_scale(distances)
    weights = np.maximum(np.exp(-np.square(distances) / (scale[:, None] * scale[index])), MIN_WEIGHT)
    graph = csr_matrix((weights.ravel(), index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    return graph.maximum(graph.T).tocsr()


def spectral_embedding(graph: Any, n_components: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the leading eigenvectors of :math:`D^{-1/2} W D^{-1/2}` and their eigenvalues, largest first.

    The eigenvalues of the normalised Laplacian are one minus these. Each connected part of the graph has one known
    eigenvector of eigenvalue 1; these are written down, not searched, so that a graph in many parts is no harder.
    Other eigenvalues that repeat exactly, as in a large graph with a symmetry, may be found once.

    Parameters
    ----------
    graph : sparse matrix (n, n)
        Symmetric, no negative weight. A node without edges counts as a part of its own.
    n_components : int
        At most n.
    rng : numpy.random.Generator
        Start of the iteration.

    Returns
    -------
    vectors : ndarray (n, n_components)
        Orthonormal columns; the entry of largest size in each is positive.
    eigenvalues : ndarray (n_components,)
    """
    from scipy.sparse import diags

    if not 1 <= n_components <= graph.shape[0]:
        raise ConfigError(f"n_components is {n_components}; expected 1 to the number of nodes, {graph.shape[0]}.")
    degree = np.asarray(graph.sum(axis=1)).ravel()
    inverse = diags(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    trivial = _part_vectors(graph, degree, n_components)
    rest = n_components - trivial.shape[1]
    vectors, values = trivial, np.ones(trivial.shape[1])
    if rest:
        found, eigenvalues = _deflated(inverse @ graph @ inverse, trivial, rest, rng)
        vectors, values = np.hstack([trivial, found]), np.append(values, eigenvalues)
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(n_components)] < 0, -1.0, 1.0)
    return vectors * signs, values


def normalized_cut(graph: Any, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Return cut / volume of every cluster (n_clusters,): the chance that a random step leaves it.

    An empty cluster has 1, the worst.
    """
    joint = _joint(graph, labels, n_clusters)
    volume = joint.sum(axis=1)
    return 1 - np.diag(joint) / np.where(volume > 0, volume, 1)


def edge_information(graph: Any, labels: np.ndarray, n_clusters: int) -> float:
    """Return the mutual information, in nats, of the labels at the two ends of a random edge (module docstring)."""
    joint = _joint(graph, labels, n_clusters)
    total = joint.sum()
    if total == 0:
        return 0.0
    joint, share = joint / total, joint.sum(axis=1) / total
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / np.outer(share, share)[some])).sum())


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
        By default the best of `n_clusters` to twice as many, by `edge_information`.
    n_init : int
        Starts of k-means for each number of eigenvectors; the best of all by `edge_information` is kept.
    max_rows : int
        With more distinct rows, a random subset of so many is clustered and the others follow their neighbours' vote.
    """
    x = _checked(x)
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
    return GraphStart(labels[inverse], found.n_eigenvectors, found.n_neighbors, found.score, found.candidates)


def _checked(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x)
    x = x.astype(np.result_type(x.dtype, np.float32)) if x.dtype.kind in "biu" else x
    if x.ndim != 2 or x.size == 0 or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise DataError(
            f"x is {x.dtype} of shape {x.shape}; expected a matrix of finite numbers with rows and columns."
        )
    return x


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first row of each kind, in order, and for every row the number of its kind."""
    rows = np.ascontiguousarray(x + 0.0)  # + 0.0: the bytes of -0 become those of 0
    keys = rows.view(np.dtype((np.void, rows.strides[0]))).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.ravel()]


def _local_scale(distances: np.ndarray) -> np.ndarray:
    """Distance to the 7th neighbour; a row with that many duplicates borrows the smallest scale there is."""
    scale = distances[:, min(LOCAL_SCALE, distances.shape[1]) - 1]
    positive = scale[scale > 0]
    return np.where(scale > 0, scale, positive.min() if positive.size else 1.0)


def _part_vectors(graph: Any, degree: np.ndarray, at_most: int) -> np.ndarray:
    """Unit eigenvectors of eigenvalue 1, one for each connected part, the heaviest parts first, (n, parts)."""
    from scipy.sparse.csgraph import connected_components

    parts, label = connected_components(graph, directed=False)
    mass = np.where(degree > 0, degree, 1)
    heaviest = np.argsort(-np.bincount(label, weights=degree, minlength=parts), kind="stable")[:at_most]
    vectors = np.sqrt(mass)[:, None] * (label[:, None] == heaviest)
    return vectors / np.linalg.norm(vectors, axis=0)


def _deflated(matrix: Any, known: np.ndarray, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Leading `k` eigenpairs of `matrix` in the complement of the columns of `known`, largest first."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    n = len(known)
    if n <= max(DENSE_ROWS, 4 * k):
        # shifted by -3, the known vectors sink below everything: the spectrum lies in [-1, 1]
        values, vectors = np.linalg.eigh(matrix.toarray() - 3 * known @ known.T)
        return vectors[:, ::-1][:, :k], values[::-1][:k]

    def product(v: np.ndarray) -> np.ndarray:
        return matrix @ v - 3 * known @ (known.T @ v)

    operator = LinearOperator((n, n), matvec=product, matmat=product, dtype=float)
    start = rng.standard_normal(n)
    # newer SciPy restarts from operating-system entropy unless it is given a generator
    extra = {"rng": rng} if "rng" in signature(eigsh).parameters else {}
    try:
        values, vectors = eigsh(operator, k, which="LA", v0=start, ncv=min(n, max(3 * k, 40)), tol=1e-7, **extra)
    except ArpackNoConvergence:
        values, vectors = _lobpcg(operator, k, rng)
    return vectors[:, ::-1], values[::-1]


def _lobpcg(operator: Any, k: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Fallback that always ends: as far as it gets, smallest first."""
    from scipy.sparse.linalg import lobpcg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values, vectors = lobpcg(operator, rng.standard_normal((operator.shape[0], k)), maxiter=500, largest=True)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def _joint(graph: Any, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Weight between every two clusters, (n_clusters, n_clusters)."""
    from scipy.sparse import csr_matrix

    n = len(labels)
    member = csr_matrix((np.ones(n), (np.arange(n), labels)), shape=(n, n_clusters))
    return (member.T @ graph @ member).toarray()


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
        score = edge_information(graph, labels, n_clusters)
        return GraphStart(labels, numbers[0], n_neighbors, score, ((numbers[0], score),))
    vectors, _ = spectral_embedding(graph, numbers[-1], streams.numpy("graph/embedding"))
    best, labels, tried = -1.0, np.zeros(n, dtype=np.int64), []
    for q in numbers:
        score, found = _best_start(graph, vectors[:, :q], n_clusters, streams, n_init)
        tried.append((q, score))
        if score > best:
            best, labels, chosen = score, found, q
    labels = _filled(_moved(graph, labels, n_clusters), n_clusters)
    return GraphStart(labels, chosen, n_neighbors, edge_information(graph, labels, n_clusters), tuple(tried))


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
    """Numbers of eigenvectors to try: at most eleven, from K to 2K."""
    if n_eigenvectors is not None:
        if n_eigenvectors < 1:
            raise ConfigError(f"n_eigenvectors is {n_eigenvectors}; expected at least 1.")
        return [min(n_eigenvectors, n)]
    spread = np.linspace(n_clusters, 2 * n_clusters, min(n_clusters, 10) + 1).round().astype(int)
    return sorted({min(int(q), n) for q in spread})


def _best_start(
    graph: Any, vectors: np.ndarray, n_clusters: int, streams: Streams, n_init: int
) -> tuple[float, np.ndarray]:
    """Score and labels of the best of `n_init` k-means starts on the rows at unit length.

    Best by information, not by inertia: inertia favours the splits that the embedding happens to stretch.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    points = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    starts = [_kmeans(points, n_clusters, streams) for _ in range(n_init)]
    scores = [edge_information(graph, labels, n_clusters) for labels in starts]
    return max(scores), starts[int(np.argmax(scores))]


def _moved(graph: Any, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    """Move every row to where its neighbours' labels say most, as long as the information grows."""
    score = edge_information(graph, labels, n_clusters)
    for _ in range(MOVES):
        joint = _joint(graph, labels, n_clusters)
        joint = joint / joint.sum() + MIN_WEIGHT
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
