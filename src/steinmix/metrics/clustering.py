r"""How well clusters agree with known classes.

All scores take labels of any kind (integers, strings, booleans), do not change when clusters or classes are
renamed, and count an empty cluster as absent. A label such as -1 is an ordinary label, not noise to be left
out.

Symbols: :math:`n_{ck}` rows of class c in cluster k, :math:`n_c = \sum_k n_{ck}`, :math:`n_k = \sum_c
n_{ck}`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError
from ._check import encoded, pair_counts, responsibility_matrix, same_length

__all__ = [
    "adjusted_rand_index",
    "best_matching",
    "clustering_accuracy",
    "clustering_scores",
    "contingency_table",
    "exemplar_accuracy",
    "normalized_mutual_information",
    "purity",
]


def contingency_table(labels_true: ArrayLike, labels_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the counts :math:`n_{ck}`, the classes and the clusters.

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.

    Returns
    -------
    table : ndarray of int (n_classes, n_clusters)
    classes : ndarray (n_classes,)
        Sorted; names the rows of `table`.
    clusters : ndarray (n_clusters,)
        Sorted; names the columns of `table`. Only clusters that have rows appear.

    Raises
    ------
    DataError
        If the lengths differ, there are no rows, or labels are missing or of mixed kinds.

    Examples
    --------
    >>> table, classes, clusters = contingency_table(["a", "a", "b"], [7, 3, 3])
    >>> table.tolist(), classes.tolist(), clusters.tolist()
    ([[1, 1], [1, 0]], ['a', 'b'], [3, 7])
    """
    classes, c = encoded(labels_true, "labels_true")
    clusters, k = encoded(labels_pred, "labels_pred")
    same_length(labels_true=c, labels_pred=k)
    return pair_counts(c, k, len(classes), len(clusters)), classes, clusters


def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    r"""Return the accuracy under the best one-to-one matching of clusters to classes.

    .. math:: \mathrm{ACC} = \frac1n \max_{\pi\ \text{one-to-one}} \sum_k n_{\pi(k)\,k}

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.

    Returns
    -------
    float
        Between 0 (exclusive) and 1. With more clusters than classes, the rows of the clusters that stay
        without a class count as errors; with fewer, so do the rows of the classes that stay without a
        cluster.

    Raises
    ------
    DataError
        As `contingency_table`.

    References
    ----------
    Xie, Girshick, Farhadi (ICML 2016); used by VaDE, DEPICT and NSVGD.

    Examples
    --------
    >>> clustering_accuracy(["a", "a", "a", "b", "b"], [1, 1, 0, 0, 0])
    0.8
    """
    table, _, _ = contingency_table(labels_true, labels_pred)
    rows, columns = _assignment(table)
    return float(table[rows, columns].sum() / table.sum())


def best_matching(labels_true: ArrayLike, labels_pred: ArrayLike) -> dict[Any, Any]:
    """Return the matching of clusters to classes behind `clustering_accuracy`.

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.

    Returns
    -------
    dict
        cluster -> class, plain Python values. A cluster that shares no row with the class left for it is
        absent, as are the clusters beyond the number of classes: the rows of both are errors.

    Raises
    ------
    DataError
        As `contingency_table`.

    Examples
    --------
    >>> best_matching(["a", "a", "b", "b"], [1, 1, 0, 2])
    {0: 'b', 1: 'a'}
    """
    table, classes, clusters = contingency_table(labels_true, labels_pred)
    rows, columns = _assignment(table)
    shared = table[rows, columns] > 0
    pairs = zip(clusters[columns[shared]].tolist(), classes[rows[shared]].tolist(), strict=True)
    return dict(sorted(pairs))


def normalized_mutual_information(labels_true: ArrayLike, labels_pred: ArrayLike, average: str = "geometric") -> float:
    r"""Return the mutual information of classes and clusters over a mean of their entropies.

    .. math:: \mathrm{NMI} = \frac{I(Y; C)}{\sqrt{H(Y) H(C)}}, \qquad
              I = \sum_{ck} \frac{n_{ck}}{n} \log \frac{n\, n_{ck}}{n_c\, n_k}

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.
    average : {'geometric', 'arithmetic'}
        The papers divide by the geometric mean (the default of scikit-learn before 0.22), scikit-learn now by
        the arithmetic one. They differ little when clusters are balanced; the arithmetic value is never the
        larger.

    Returns
    -------
    float
        Between 0 and 1; 1 if there is one class and one cluster, 0 if only one of the two is alone.

    Raises
    ------
    ConfigError
        If `average` is another word.
    DataError
        As `contingency_table`.
    """
    from sklearn.metrics import normalized_mutual_info_score

    if average not in ("geometric", "arithmetic"):
        raise ConfigError(f"average: got {average!r}, expected 'geometric' or 'arithmetic'.")
    c, k = _codes(labels_true, labels_pred)
    return float(normalized_mutual_info_score(c, k, average_method=average))


def adjusted_rand_index(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    r"""Return the share of pairs of rows that both labellings treat alike, corrected for chance.

    With :math:`S = \sum_{ck} \binom{n_{ck}}2`, :math:`A = \sum_c \binom{n_c}2`, :math:`B = \sum_k
    \binom{n_k}2`:

    .. math:: \mathrm{ARI} = \frac{S - AB / \binom n2}{(A + B)/2 - AB / \binom n2}

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.

    Returns
    -------
    float
        1 for equal partitions, 0 in the mean over random ones, at least -0.5.

    Raises
    ------
    DataError
        As `contingency_table`.

    References
    ----------
    Hubert and Arabie, Comparing partitions (1985).
    """
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_codes(labels_true, labels_pred)))


def purity(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    r"""Return the accuracy when every cluster takes its most frequent class.

    .. math:: \frac1n \sum_k \max_c n_{ck}

    Many clusters may take one class, so purity grows with their number and reaches 1 when every row is its
    own cluster: compare it only at an equal number of clusters.

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.

    Raises
    ------
    DataError
        As `contingency_table`.

    Examples
    --------
    >>> purity(["a", "a", "a", "b", "b"], [1, 1, 0, 0, 2])
    0.8
    """
    table, _, _ = contingency_table(labels_true, labels_pred)
    return float(table.max(axis=0).sum() / table.sum())


def exemplar_accuracy(labels_true: ArrayLike, responsibilities: ArrayLike) -> float:
    r"""Return the accuracy when every cluster takes the class of its most certain row.

    .. math:: \mathrm{ACC} = \frac1n \sum_i \mathbb 1\{y_i = y_{e(k_i)}\}, \qquad
              e(k) = \arg\max_j q(k \mid x_j), \quad k_i = \arg\max_k q(k \mid x_i)

    The exemplar e(k) is sought among *all* rows, also those assigned to another cluster. Many clusters may
    take one class, and the score reads one true label per cluster of the very rows it judges: a number for
    comparison with the papers, beside `clustering_accuracy`.

    Parameters
    ----------
    labels_true : array-like (n,)
        The known class of each row.
    responsibilities : array-like or Tensor (n, m)
        :math:`q(k \mid x_i)`. Of equal values the first row, and the first cluster, win; in single precision
        many rows may reach exactly 1.

    Raises
    ------
    DataError
        If the lengths differ, labels are missing, or rows are not probabilities.

    References
    ----------
    Makhzani et al., Adversarial autoencoders (2016), the protocol of both GMVAE papers.

    Examples
    --------
    >>> exemplar_accuracy(["a", "a", "b"], [[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    1.0
    """
    _, c = encoded(labels_true, "labels_true")
    q = responsibility_matrix(responsibilities)
    same_length(labels_true=c, responsibilities=q)
    exemplar, assigned = q.argmax(axis=0), q.argmax(axis=1)
    return float(np.mean(c[exemplar[assigned]] == c))


def clustering_scores(
    labels_true: ArrayLike, labels_pred: ArrayLike, responsibilities: ArrayLike | None = None
) -> dict[str, float]:
    """Return all scores of this module by their short names.

    Parameters
    ----------
    labels_true, labels_pred : array-like (n,)
        The known class and the cluster of each row.
    responsibilities : array-like or Tensor (n, m), optional
        Adds ``exemplar_accuracy``.

    Returns
    -------
    dict
        ``accuracy``, ``nmi`` (geometric), ``nmi_arithmetic``, ``ari``, ``purity``, ``n_clusters`` (those that
        have rows), and ``exemplar_accuracy`` if asked for.

    Raises
    ------
    DataError
        As `contingency_table` and `exemplar_accuracy`.
    """
    c, k = _codes(labels_true, labels_pred)  # strings are sorted once here, not once in every score
    scores = {
        "accuracy": clustering_accuracy(c, k),
        "nmi": normalized_mutual_information(c, k),
        "nmi_arithmetic": normalized_mutual_information(c, k, average="arithmetic"),
        "ari": adjusted_rand_index(c, k),
        "purity": purity(c, k),
        "n_clusters": int(k.max()) + 1,
    }
    if responsibilities is not None:
        scores["exemplar_accuracy"] = exemplar_accuracy(c, responsibilities)
    return scores


def _codes(labels_true: ArrayLike, labels_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both labellings as indices (n,) from zero, without gaps."""
    c, k = encoded(labels_true, "labels_true")[1], encoded(labels_pred, "labels_pred")[1]
    same_length(labels_true=c, labels_pred=k)
    return c, k


def _assignment(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the matching of largest total; a rectangle leaves the surplus unmatched."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(table, maximize=True)
