r"""Neighbour graphs: self-tuned weights, spectral embedding, and what a partition says about neighbours.

Rows become the nodes of a symmetric k-nearest-neighbour graph with local scales [1]_,

.. math:: w_{ij} = \exp(-\|x_i - x_j\|^2 / (s_i s_j)), \qquad s_i = \text{distance to the 7th neighbour},

and are embedded by the leading eigenvectors of :math:`D^{-1/2} W D^{-1/2}` [2]_. A partition is judged by the mutual
information of the labels at the two ends of a random walk of t steps [3]_; for t = 1, of an edge,

.. math:: I_t = \sum_{ab} p_{ab} \log\frac{p_{ab}}{p_a p_b},
          \qquad p_{ab} = \sum_{ij} d_i (P^t)_{ij} [l_i = a, l_j = b] \Big/ \sum_i d_i, \qquad P = D^{-1} W.

A normalised cut alone prefers to cut off small groups; :math:`I` also asks for a large entropy of the sizes.

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
from .neighbours import nearest_rows

__all__ = [
    "LongWalk",
    "checked_rows",
    "cluster_weights",
    "edge_information",
    "joined",
    "knn_graph",
    "long_walk",
    "spectral_embedding",
]

LOCAL_SCALE = 7  # the neighbour whose distance is a row's scale (Zelnik-Manor and Perona)
MIN_WEIGHT = 1e-12  # keeps far rows attached when the exponential underflows
DENSE_ROWS = 400  # below, a full eigendecomposition is faster and never fails


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

    x = checked_rows(x)
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


def joined(graph: Any, x: np.ndarray) -> Any:
    """Return the graph (n, n) of rows (n, f) in one part: parts are tied where they are nearest, until all are.

    A tie has the least weight. There is no more memory than for a search of neighbours.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    parts, label = connected_components(graph, directed=False)
    while parts > 1:
        smaller = np.argsort(np.bincount(label), kind="stable")[:-1]
        ends = np.array([_nearest_outside(x, label == part) for part in smaller]).T
        ties = csr_matrix((np.full(len(smaller), MIN_WEIGHT), tuple(ends)), shape=graph.shape)
        graph = graph.maximum(ties).maximum(ties.T).tocsr()
        parts, label = connected_components(graph, directed=False)
    return graph


def _nearest_outside(x: np.ndarray, member: np.ndarray) -> tuple[int, int]:
    """Return which member (n,) of a part is nearest to a row outside, and that row."""
    inside, outside = np.flatnonzero(member), np.flatnonzero(~member)
    distances, nearest = nearest_rows(x[outside], x[inside], 1)
    first = distances[:, 0].argmin()
    return int(inside[first]), int(outside[nearest[first, 0]])


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


def edge_information(graph: Any, labels: np.ndarray, n_clusters: int, steps: int = 1) -> float:
    """Return the mutual information, in nats, of the labels at the two ends of a walk (module docstring).

    Parameters
    ----------
    graph : sparse matrix (n, n)
    labels : ndarray (n,) of int, or (n, n_clusters) of float
        Labels, or the probabilities of each.
    n_clusters : int
    steps : int
        Length of the walk; 1 is an edge.
    """
    return _mutual_information(cluster_weights(graph, labels, n_clusters, steps))


def _mutual_information(joint: np.ndarray) -> float:
    total = joint.sum()
    if total == 0:
        return 0.0
    joint, share = joint / total, joint.sum(axis=1) / total
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / np.outer(share, share)[some])).sum())


@dataclass(frozen=True)
class LongWalk:
    """A walk so long that what is finer than the clusters has faded, in the leading eigenvectors.

    Attributes
    ----------
    steps : int
    points : ndarray (n, q)
        Eigenvectors times the root of the degrees.
    left : ndarray (q,)
        Eigenvalues to the power of the steps.
    """

    steps: int
    points: np.ndarray
    left: np.ndarray

    def information(self, labels: np.ndarray, n_clusters: int) -> float:
        """Return `edge_information` after so many steps, of labels (n,) of int."""
        sums = _members(labels, n_clusters).T @ self.points
        return _mutual_information(((sums * self.left) @ sums.T).clip(min=0))


def long_walk(graph: Any, vectors: np.ndarray, eigenvalues: np.ndarray, n_clusters: int, at_least: int = 1) -> LongWalk:
    """Return the walk after which the first eigenvector that `n_clusters` do not need is down to 1/e.

    Clusters that hardly touch are told as surely at its end as at its start. A cut through one of them is not.

    Parameters
    ----------
    graph : sparse matrix (n, n)
    vectors, eigenvalues : ndarray (n, q), (q,)
        What `spectral_embedding` returns; more than `n_clusters`, else the last has to serve.
    n_clusters, at_least : int
        Clusters, and the least number of steps.
    """
    values = eigenvalues.clip(0, 1)
    finer = values[min(n_clusters, len(values) - 1)].clip(1e-9, 1 - 1e-9)
    steps = max(at_least, int(np.ceil(-1 / np.log(finer))))
    return LongWalk(steps, vectors * np.sqrt(np.asarray(graph.sum(axis=1))), values**steps)


def cluster_weights(graph: Any, labels: np.ndarray, n_clusters: int, steps: int = 1) -> np.ndarray:
    """Return the weight that flows between every two clusters in a walk of some steps, (n_clusters, n_clusters).

    For one step it is the weight of the edges between them. Labels are (n,), or probabilities (n, n_clusters).
    """
    member, ends = labels, labels
    if labels.ndim == 1:
        member = _members(labels, n_clusters)
        ends = member.toarray()
    ends = graph @ ends
    if steps > 1:
        degree = np.asarray(graph.sum(axis=1))
        degree[degree == 0] = 1
        for _ in range(steps - 1):
            ends = graph @ (ends / degree)
    return member.T @ ends


def _members(labels: np.ndarray, n_clusters: int) -> Any:
    """Return a sparse matrix (n, n_clusters) with a one for each row, at its label."""
    from scipy.sparse import csr_matrix

    n = len(labels)
    return csr_matrix((np.ones(n), (np.arange(n), labels)), shape=(n, n_clusters))


def checked_rows(x: np.ndarray) -> np.ndarray:
    """Return rows (n, f) as floating-point numbers, or raise DataError."""
    x = np.asarray(x)
    x = x.astype(np.result_type(x.dtype, np.float32)) if x.dtype.kind in "biu" else x
    if x.ndim != 2 or x.size == 0 or x.dtype.kind != "f" or not np.isfinite(x).all():
        raise DataError(
            f"x is {x.dtype} of shape {x.shape}; expected a matrix of finite numbers with rows and columns."
        )
    return x


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
