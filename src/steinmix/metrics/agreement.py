r"""How well several partitions of the same rows agree, without any truth.

Partitions are the rows of a matrix (R, n) of whole numbers from 0; a cluster's number means nothing by itself. Costs
are O(n R K) in time and O(n (R + K)) in memory: no matrix of n x n pairs is ever formed.
"""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ._check import pair_counts, to_numpy
from .clustering import _assignment, adjusted_rand_index

__all__ = ["align_labels", "cluster_stability", "consensus_labels", "pairwise_agreement", "row_stability"]


def pairwise_agreement(partitions: np.ndarray) -> np.ndarray:
    """Return the adjusted Rand index of each pair of partitions (R, n), as a matrix (R, R) with ones on the diagonal.

    Parameters
    ----------
    partitions : ndarray of int (R, n)
        One partition of the n rows in each line.

    Raises
    ------
    DataError
        If labels are not whole numbers from 0, or there are none.

    Examples
    --------
    >>> pairwise_agreement(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])).round(2).tolist()
    [[1.0, 1.0, -0.5], [1.0, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    partitions = _checked(partitions)
    matrix = np.eye(len(partitions))
    for i, j in zip(*np.triu_indices(len(partitions), 1), strict=True):
        matrix[i, j] = matrix[j, i] = adjusted_rand_index(partitions[i], partitions[j])
    return matrix


def align_labels(partitions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Rename the clusters of each partition (R, n) so that as many rows as possible agree with `reference` (n,).

    The matching is one to one (Kuhn, 1955); rows of clusters that are left without a partner become -1.

    Parameters
    ----------
    partitions : ndarray of int (R, n)
        One partition of the n rows in each line.
    reference : ndarray of int (n,)
        The partition whose names the others take.

    Raises
    ------
    DataError
        If labels are not whole numbers from 0, there are none, or `reference` has another number of rows.

    Examples
    --------
    >>> align_labels(np.array([[1, 1, 0, 0, 2]]), np.array([0, 0, 1, 1, 1])).tolist()
    [[0, 0, 1, 1, -1]]
    """
    reference = _labels(reference)
    partitions = _compared(partitions, reference)
    aligned = np.empty_like(partitions)
    for partition, out in zip(partitions, aligned, strict=True):
        table = _table(reference, partition)
        names = np.full(table.shape[1], -1, partitions.dtype)
        rows, columns = _assignment(table)
        names[columns] = rows
        out[:] = names[partition]
    return aligned


def consensus_labels(partitions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the vote (n,) of partitions (R, n), each aligned to `reference` (n,), which decides where votes are equal.

    Parameters
    ----------
    partitions : ndarray of int (R, n)
        One partition of the n rows in each line.
    reference : ndarray of int (n,)
        The partition whose names the vote has.

    Raises
    ------
    DataError
        As `align_labels`.

    Examples
    --------
    >>> consensus_labels(np.array([[0, 0, 1], [1, 0, 0], [0, 1, 1]]), np.array([0, 0, 1])).tolist()
    [0, 1, 1]
    """
    aligned, reference = align_labels(partitions, reference), _labels(reference)
    votes, rows = np.zeros((len(reference), int(reference.max()) + 1)), np.arange(len(reference))
    votes[rows, reference] = 0.5  # less than one vote: it decides among equals
    for labels in aligned:
        voting = labels >= 0
        votes[rows[voting], labels[voting]] += 1
    return votes.argmax(1)


def row_stability(partitions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return, for each row, the share (n,) of the partitions (R, n) that, aligned, put it where `reference` does.

    It is NaN without partitions: nothing is known then.

    Parameters
    ----------
    partitions : ndarray of int (R, n)
        One partition of the n rows in each line.
    reference : ndarray of int (n,)
        The partition that the others are compared with.

    Raises
    ------
    DataError
        As `align_labels`.
    """
    if not len(partitions):
        return np.full(len(_labels(reference)), np.nan)
    return (align_labels(partitions, reference) == _labels(reference)).mean(0)


def cluster_stability(partitions: np.ndarray, reference: np.ndarray, n_clusters: int) -> np.ndarray:
    r"""Return how well each cluster of `reference` (n,) is found again in partitions (R, n), as numbers (m,) in [0, 1].

    .. math:: S_c = \frac1R \sum_r \max_k \frac{|A_c \cap B_{rk}|}{|A_c \cup B_{rk}|}

    An empty cluster, and any cluster without partitions to compare with, has NaN.

    Parameters
    ----------
    partitions : ndarray of int (R, n)
        One partition of the n rows in each line.
    reference : ndarray of int (n,)
        The partition that the others are compared with.
    n_clusters : int
        Number of clusters, empty ones among them.

    Raises
    ------
    DataError
        As `align_labels`; also if `reference` has more clusters than that.

    References
    ----------
    C. Hennig, *Cluster-wise assessment of cluster stability*, Computational Statistics & Data Analysis, 2007.

    Examples
    --------
    >>> cluster_stability(np.array([[1, 1, 0, 0], [0, 1, 1, 1]]), np.array([0, 0, 1, 1]), 3).round(3).tolist()
    [0.75, 0.833, nan]
    """
    reference = _labels(reference)
    if reference.max() >= n_clusters:
        raise DataError(f"reference has the label {reference.max()}; expected labels below n_clusters={n_clusters}.")
    found = []
    for partition in _compared(partitions, reference) if len(partitions) else ():
        both = _table(reference, partition, n_clusters)
        either = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
        found.append((both / np.maximum(either, 1)).max(1))
    stability = np.mean(found, axis=0) if found else np.full(n_clusters, np.nan)
    return np.where(np.bincount(reference, minlength=n_clusters) > 0, stability, np.nan)


def _table(a: np.ndarray, b: np.ndarray, n_rows: int = 0) -> np.ndarray:
    """Return the counts (max a + 1, max b + 1), or more rows, of pairs of labels."""
    return pair_counts(a, b, max(int(a.max()) + 1, n_rows), int(b.max()) + 1)


def _compared(partitions: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the partitions after checking them and that `reference` has their rows."""
    partitions = _checked(partitions)
    if len(reference) != partitions.shape[1]:
        raise DataError(f"reference has {len(reference)} rows; expected {partitions.shape[1]}, as the partitions have.")
    return partitions


def _checked(partitions: np.ndarray) -> np.ndarray:
    return _whole(partitions, "partitions", 2, "a matrix (R, n) of whole numbers >= 0, one partition in each row")


def _labels(reference: np.ndarray) -> np.ndarray:
    return _whole(reference, "reference", 1, "whole numbers >= 0, one for each row, (n,)")


def _whole(labels: np.ndarray, name: str, ndim: int, expected: str) -> np.ndarray:
    """Return labels as int64: codes of pairs, and -1, do not fit narrower types."""
    labels = to_numpy(labels)
    if labels.ndim != ndim or not labels.size or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise DataError(f"{name}: got shape {labels.shape} and type {labels.dtype}; expected {expected}.")
    return labels.astype(np.int64, copy=False)
