"""How good an embedding is for neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import encoded, label_vector, pair_counts, positive_integer, real, same_length

__all__ = ["knn_error", "trustworthiness"]


def knn_error(train: ArrayLike, train_labels: ArrayLike, test: ArrayLike, test_labels: ArrayLike, k: int = 5) -> float:
    """Return the share of test rows that the majority of their k Euclidean neighbours in `train` mislabels.

    Parameters
    ----------
    train : array-like or Tensor (n, d)
        Codes of the training rows.
    train_labels : array-like (n,)
        The classes of the training rows.
    test : array-like or Tensor (b, d)
        Codes of the test rows.
    test_labels : array-like (b,)
        A class that `train_labels` lacks is always an error.
    k : int
        From 1 to n. The papers use 3, 5 and 10. Of classes with equal votes the first in sorted order wins.

    Raises
    ------
    ConfigError
        If `k` is not an integer from 1 to n.
    DataError
        If shapes or lengths do not fit, values are not finite, or labels are missing or of different kinds.

    Examples
    --------
    >>> knn_error([[0.0], [1.0], [5.0]], ["a", "a", "b"], [[0.4], [4.0]], ["a", "a"], k=1)
    0.5
    """
    from sklearn.neighbors import NearestNeighbors

    train, test = real(train, "train", ndim=2), real(test, "test", ndim=2)
    if train.shape[1] != test.shape[1]:
        raise DataError(f"test: got {test.shape[1]} columns, expected {train.shape[1]} as in train.")
    classes, codes = encoded(train_labels, "train_labels")
    truth = label_vector(test_labels, "test_labels")
    same_length(train=train, train_labels=codes)
    same_length(test=test, test_labels=truth)
    _same_kind(classes, truth)
    k = positive_integer(k, "k", below=len(train) + 1, what="the rows of train")
    neighbours = NearestNeighbors(n_neighbors=k).fit(train).kneighbors(test, return_distance=False)
    return float(np.mean(classes[_majority(codes[neighbours], len(classes))] != truth))


def trustworthiness(X: ArrayLike, embedding: ArrayLike, k: int = 5) -> float:
    r"""Return how far the neighbours in the embedding are neighbours in the data, 1 at best.

    .. math:: 1 - \frac{2}{nk(2n - 3k - 1)} \sum_i \sum_{j \in N_i^k} \max(0,\; r(i, j) - k)

    where :math:`N_i^k` are the k nearest rows in the embedding and r the rank of a distance in the data. No
    labels are needed. It holds all n² distances: hand in a few thousand rows.

    Parameters
    ----------
    X : array-like or Tensor (n, f)
        The rows.
    embedding : array-like or Tensor (n, d)
        The code of each row.
    k : int
        Below n / 2.

    Raises
    ------
    ConfigError
        If `k` is not an integer from 1 to below n / 2.
    DataError
        If lengths differ or values are not finite.

    References
    ----------
    Venna and Kaski (2001); computed by `sklearn.manifold.trustworthiness`.
    """
    from sklearn.manifold import trustworthiness as sklearn_trustworthiness

    X, embedding = real(X, "X", ndim=2), real(embedding, "embedding", ndim=2)
    same_length(X=X, embedding=embedding)
    k = positive_integer(k, "k", below=(len(X) + 1) // 2, what="below half the rows")
    return float(sklearn_trustworthiness(X, embedding, n_neighbors=k))


def _majority(votes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the most frequent code in every row of `votes` (b, k)."""
    rows = np.arange(len(votes))[:, None]
    return pair_counts(rows, votes, len(votes), n_classes).argmax(axis=1)


def _same_kind(a: np.ndarray, b: np.ndarray) -> None:
    """Raise unless both are numbers or neither is: '1' and 1 would count as a mistake without a word."""
    if (a.dtype.kind in "biuf") != (b.dtype.kind in "biuf"):
        raise DataError(f"test_labels: got {b.dtype} labels, expected the kind of train_labels, {a.dtype}.")
