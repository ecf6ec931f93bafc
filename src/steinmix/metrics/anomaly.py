r"""How well anomaly scores find known anomalies.

A score is high for abnormal rows. In the labels 1 (or True) is an anomaly, 0 a normal row: not scikit-learn's
-1 and 1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError, DataError
from ._check import fraction, label_vector, real, same_length, to_numpy

__all__ = [
    "anomaly_threshold",
    "area_under_roc",
    "average_precision",
    "conformal_pvalues",
    "consensus_scores",
    "detection_scores",
    "false_discovery_control",
    "fewest_discoveries",
    "marks_outliers",
    "precision_recall_f1",
]

ROUNDING = 1e-15
"""Relative error of some products and quotients: a p-value that equals its bound must not miss it by that."""


def marks_outliers(labels: ArrayLike) -> bool:
    """Return whether labels (n,) tell outliers, 1, from other rows, 0: whether both are there and nothing else is.

    Parameters
    ----------
    labels : array-like (n,)
        Labels of any kind.
    """
    return set(to_numpy(labels).ravel().tolist()) == {0, 1}  # a set takes labels that have no order


def anomaly_threshold(scores: ArrayLike, share: float) -> float:
    """Return the score that a share of the rows exceeds: their (1 - share) quantile, interpolated linearly.

    Flag a row where its score is strictly larger.

    Parameters
    ----------
    scores : array-like or Tensor (n,)
        High for abnormal rows. *Which* rows these are decides the table that comes out: DAGMM takes the test
        rows of a random half, NSVGD and the best known port the training and test rows together.
    share : float
        Between 0 and 1, both excluded; 0.2 in the papers on KDD Cup.

    Raises
    ------
    ConfigError
        If `share` is not between 0 and 1.
    DataError
        If a score is not finite.

    Examples
    --------
    >>> anomaly_threshold([1.0, 2.0, 3.0, 4.0, 5.0], share=0.25)
    4.0
    """
    share = fraction(share, "share")
    return float(np.quantile(real(scores, "scores", ndim=1), 1 - share))


def precision_recall_f1(labels_true: ArrayLike, flagged: ArrayLike) -> tuple[float, float, float]:
    r"""Return precision, recall and F1 of the rows flagged, with the anomalies as the positive class.

    .. math:: P = \frac{tp}{tp + fp}, \quad R = \frac{tp}{tp + fn}, \quad F = \frac{2 tp}{2 tp + fp + fn}

    Parameters
    ----------
    labels_true : array-like of {0, 1} (n,)
        1 is an anomaly.
    flagged : array-like of {0, 1} (n,)
        1 is a row called abnormal.

    Returns
    -------
    precision, recall, f1 : float
        0 where the denominator is 0. Averages over runs are taken of each separately, so that a printed F1
        need not be the harmonic mean of the printed precision and recall.

    Raises
    ------
    DataError
        If the lengths differ or a value is neither 0 nor 1.

    Examples
    --------
    >>> precision_recall_f1([1, 1, 0, 0, 0], [1, 0, 1, 1, 0])
    (0.3333333333333333, 0.5, 0.4)
    """
    truth, flags = _binary(labels_true, "labels_true"), _binary(flagged, "flagged")
    same_length(labels_true=truth, flagged=flags)
    hits, called, present = int((truth & flags).sum()), int(flags.sum()), int(truth.sum())
    return hits / max(called, 1), hits / max(present, 1), 2 * hits / max(called + present, 1)


def area_under_roc(labels_true: ArrayLike, scores: ArrayLike) -> float:
    r"""Return the probability that an anomaly scores above a normal row, ties counted half.

    .. math:: \mathrm{AUROC} = P(s_a > s_b) + \tfrac12 P(s_a = s_b)

    Parameters
    ----------
    labels_true : array-like of {0, 1} (n,)
        1 is an anomaly.
    scores : array-like or Tensor (n,)
        High for abnormal rows.

    Raises
    ------
    DataError
        If lengths differ, a score is not finite, or a class is absent.
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_ranked(labels_true, scores)))


def average_precision(labels_true: ArrayLike, scores: ArrayLike) -> float:
    r"""Return the area under the steps of precision over recall, :math:`\sum_t (R_t - R_{t-1}) P_t`.

    Unlike `area_under_roc` it depends on the share of anomalies, which is also its value for random scores.

    Parameters
    ----------
    labels_true : array-like of {0, 1} (n,)
        1 is an anomaly.
    scores : array-like or Tensor (n,)
        High for abnormal rows.

    Raises
    ------
    DataError
        As `area_under_roc`.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_ranked(labels_true, scores)))


def detection_scores(
    labels_true: ArrayLike,
    scores: ArrayLike,
    share: float = 0.2,
    reference_scores: ArrayLike | None = None,
    threshold: float | None = None,
) -> dict[str, float]:
    """Return all scores of this module at a threshold: a given one, or that which a share of reference rows exceeds.

    Parameters
    ----------
    labels_true : array-like of {0, 1} (n,)
        1 is an anomaly.
    scores : array-like or Tensor (n,)
        High for abnormal rows. The rows that are judged.
    share : float
        Share of the reference rows above the threshold.
    reference_scores : array-like or Tensor (any number of rows,), optional
        The rows that set the threshold, those of `scores` unless given. See `anomaly_threshold`.
    threshold : float, optional
        Rows that exceed it are flagged; `share` and `reference_scores` then have no part.

    Returns
    -------
    dict
        ``precision``, ``recall``, ``f1``, ``auroc``, ``average_precision``, ``threshold``.

    Raises
    ------
    ConfigError, DataError
        As the functions above.
    """
    truth, s = _ranked(labels_true, scores)
    if threshold is None:
        threshold = anomaly_threshold(s if reference_scores is None else reference_scores, share)
    elif math.isnan(threshold):
        raise ConfigError("threshold: got NaN, which no score exceeds; expected a number.")
    precision, recall, f1 = precision_recall_f1(truth, s > threshold)
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "auroc": area_under_roc(truth, s),
        "average_precision": average_precision(truth, s),
        "threshold": threshold,
    }


def conformal_pvalues(scores: ArrayLike, calibration: ArrayLike) -> np.ndarray:
    r"""Return split-conformal p-values: how rare a score is among those of normal rows that were held out.

    .. math:: p(s) = \frac{1 + \#\{i : c_i \ge s\}}{k + 1}

    If a row is exchangeable with the calibration rows, :math:`P(p \le t) \le t` for every t, whatever the scores are.

    Parameters
    ----------
    scores : array-like or Tensor (n,)
        High for abnormal rows.
    calibration : array-like or Tensor (k,)
        Scores of normal rows that the detector was not trained on. The smallest p-value is 1 / (k + 1).

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    DataError
        If a score is NaN or there is none. Infinite ones have their rank.

    References
    ----------
    Bates, Candes, Lei, Romano, Sesia (2023), *Testing for outliers with conformal p-values*, Annals of Statistics 51.

    Examples
    --------
    >>> conformal_pvalues([0.0, 2.5, 9.0], calibration=[1.0, 2.0, 3.0]).tolist()
    [1.0, 0.5, 0.25]
    """
    named = {"scores": scores, "calibration": calibration}
    s, c = (real(x, name, ndim=1, infinite=True) for name, x in named.items())
    c.sort()
    return (1 + len(c) - np.searchsorted(c, s, side="left")) / (len(c) + 1)


def false_discovery_control(pvalues: ArrayLike, rate: float = 0.1) -> np.ndarray:
    r"""Return which rows to flag so that, in expectation, at most a share `rate` of the flags is wrong.

    The step-up rule of Benjamini and Hochberg (1995): with sorted p-values flag the k smallest, k the largest with
    :math:`p_{(k)} \le k\,\mathrm{rate} / n`. It holds for conformal p-values (Bates et al., 2023).

    Parameters
    ----------
    pvalues : array-like (n,)
        One for each row, as `conformal_pvalues` gives them.
    rate : float
        Between 0 and 1, both excluded.

    Returns
    -------
    ndarray of bool, (n,)

    Raises
    ------
    ConfigError
        If `rate` is not between 0 and 1.
    DataError
        If a p-value is not in [0, 1].

    Examples
    --------
    >>> false_discovery_control([0.01, 0.04, 0.03, 0.9], rate=0.1).tolist()
    [True, True, True, False]
    """
    rate = fraction(rate, "rate")
    p = real(pvalues, "pvalues", ndim=1)
    if not (p.min() >= 0 and p.max() <= 1):
        raise DataError(f"pvalues: got values from {p.min():.4g} to {p.max():.4g}, expected them in [0, 1].")
    order = np.sort(p)
    passed = np.flatnonzero(order <= rate * np.arange(1, len(p) + 1) / len(p) * (1 + ROUNDING))
    return p <= order[passed[-1]] if len(passed) else np.zeros(len(p), dtype=bool)


def fewest_discoveries(n_rows: int, n_calibration: int, rate: float) -> int:
    r"""Return the least number of rows, other than none, that `false_discovery_control` flags by conformal p-values.

    No p-value of `conformal_pvalues` is below :math:`1 / (k + 1)` for k calibration rows, so r rows are flagged only if
    :math:`1 / (k + 1) \le r\,\mathrm{rate} / n`: flags come in such numbers or not at all.

    Parameters
    ----------
    n_rows, n_calibration : int
        Rows that are judged, and those they are judged by.
    rate : float
        Of `false_discovery_control`.

    Returns
    -------
    int
        More than `n_rows` if nothing can be flagged.

    Raises
    ------
    ConfigError
        If `rate` is not between 0 and 1.

    Examples
    --------
    >>> fewest_discoveries(1000, 400, 0.05)
    50
    """
    return math.ceil(n_rows / (fraction(rate, "rate") * (n_calibration + 1)) * (1 - ROUNDING))


def consensus_scores(scores: ArrayLike, reference: ArrayLike) -> np.ndarray:
    r"""Return the mean of several detectors' scores, each in units of its own spread over reference rows.

    .. math:: \bar s_i = \frac1r \sum_d \frac{s_{di} - m_d}{q_d - m_d}, \quad m_d \text{ the median and } q_d
              \text{ the 99th percentile of detector } d \text{'s reference scores}

    Trainings of one detector from several starts rank rows in ways that differ more than one would wish; their mean
    differs less. No label is looked at.

    Parameters
    ----------
    scores : array-like (r, n)
        Of r detectors, high for abnormal rows.
    reference : array-like (r, k)
        Their scores of the rows they were trained on, or of others that are normal for the most part.

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    DataError
        If the numbers of detectors differ, a score is not finite, or a detector's median reaches its 99th percentile.

    Examples
    --------
    >>> consensus_scores([[2.0, 5.0], [10.0, 0.0]], reference=[[0.0, 1.0], [0.0, 10.0]]).round(2).tolist()
    [2.04, 4.08]
    """
    s, r = real(scores, "scores", ndim=2), real(reference, "reference", ndim=2)
    same_length(scores=s, reference=r)
    middle, high = score_units(r)[..., None]
    if not (high > middle).all():
        flat = np.flatnonzero((high <= middle).ravel()).tolist()
        raise DataError(f"reference: detectors {flat} give half of the rows or more one score; leave them out.")
    return ((s - middle) / (high - middle)).mean(0)


def score_units(reference: np.ndarray) -> np.ndarray:
    """Return median and 99th percentile of detectors' scores (r, k), (2, r)."""
    return np.quantile(reference, [0.5, 0.99], axis=1)


def _binary(labels: ArrayLike, name: str) -> np.ndarray:
    """Return labels 0 and 1 as booleans (n,)."""
    labels = label_vector(labels, name)
    if not np.isin(labels, (0, 1)).all():
        got = ", ".join(map(repr, list(dict.fromkeys(labels.tolist()))[:5]))
        raise DataError(f"{name}: got the values {got}, expected only 0 and 1, where 1 is an anomaly.")
    return labels.astype(bool)


def _ranked(labels_true: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of equal length that hold both classes: without one there is no ranking."""
    truth, s = _binary(labels_true, "labels_true"), real(scores, "scores", ndim=1)
    same_length(labels_true=truth, scores=s)
    if truth.all() or not truth.any():
        raise DataError(f"labels_true: got {truth.sum()} anomalies in {len(truth)} rows, expected both classes.")
    return truth, s
