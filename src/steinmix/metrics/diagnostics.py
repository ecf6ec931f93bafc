r"""What can be said of a mixture without labels: is it collapsing?

Responsibilities :math:`r_{ik} = q(k \mid x_i)` are (n, m); their rows are probabilities. Arrays and tensors
are both taken. :math:`\mathbb E` is the mean over rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ConfigError, DataError
from ._check import real, responsibility_matrix

__all__ = [
    "ClosestPair",
    "Occupancy",
    "Overlap",
    "closest_pair",
    "dead_components",
    "diagnose",
    "distinct_components",
    "effective_components",
    "occupancy",
    "overlap",
]


class Occupancy(NamedTuple):
    """Share of the rows per component; each array (m,) sums to 1.

    Attributes
    ----------
    hard : ndarray (m,)
        Share of the rows that are most probably of the component.
    soft : ndarray (m,)
        Mean responsibility.
    """

    hard: np.ndarray
    soft: np.ndarray


class ClosestPair(NamedTuple):
    """The two means that are nearest to each other.

    Attributes
    ----------
    pair : tuple of int
        Indices i < j.
    distance : float
        Euclidean.
    relative : float
        `distance` over the median distance of all pairs: near 0 if two components meet while others do not; 0
        if the median is 0; always 1 for two means apart.
    """

    pair: tuple[int, int]
    distance: float
    relative: float


class Overlap(NamedTuple):
    """How much components claim the same rows.

    Attributes
    ----------
    matrix : ndarray (m, m)
        Probability that a row drawn from component i would be given to j.
    ambiguity : float
        Expected share of errors of the hard assignment.
    """

    matrix: np.ndarray
    ambiguity: float


def occupancy(responsibilities: ArrayLike) -> Occupancy:
    """Return the share of rows per component, hard and soft.

    Parameters
    ----------
    responsibilities : array-like or Tensor (n, m)
        Of equal values in a row the first component gets it.

    Raises
    ------
    DataError
        If rows are not probabilities.

    Examples
    --------
    >>> occupancy([[0.9, 0.1], [0.7, 0.3]]).hard.tolist()
    [1.0, 0.0]
    """
    return _occupancy(responsibility_matrix(responsibilities))


def effective_components(responsibilities: ArrayLike) -> float:
    r"""Return the exponential of the entropy of the mean responsibilities.

    .. math:: \exp\Big( -\sum_k \bar r_k \log \bar r_k \Big), \qquad \bar r_k = \mathbb E[r_k]

    m if all components carry as much, 1 if one carries all. It sees how *much* each component carries, not
    whether components carry different rows: m equal components still count m. See `overlap` for that.

    Parameters
    ----------
    responsibilities : array-like or Tensor (n, m)
        Probability of each component for each row.

    Raises
    ------
    DataError
        If rows are not probabilities.

    Examples
    --------
    >>> effective_components([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    2.0
    """
    return _perplexity(_occupancy(responsibility_matrix(responsibilities)).soft)


def distinct_components(responsibilities: ArrayLike) -> float:
    r"""Return the exponential of the information that a row gives about its component.

    .. math:: \exp\Big( \mathbb E \sum_k r_k \log \frac{r_k}{\bar r_k} \Big), \qquad \bar r_k = \mathbb E[r_k]

    m if all components carry as much and every row is certain; 1 if one component carries all, or if all claim
    every row alike. It is never above `effective_components`, and equals it where rows are certain.

    Parameters
    ----------
    responsibilities : array-like or Tensor (n, m)
        Probability of each component for each row.

    Raises
    ------
    DataError
        If rows are not probabilities.

    Examples
    --------
    >>> distinct_components([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    2.0
    >>> distinct_components([[0.5, 0.5], [0.5, 0.5]])
    1.0
    """
    return _distinct(responsibility_matrix(responsibilities))


def closest_pair(means: ArrayLike) -> ClosestPair:
    """Return the two means that are nearest to each other.

    Parameters
    ----------
    means : array-like or Tensor (m, d)
        Means, or whole particles (m, p).

    Raises
    ------
    DataError
        If there are fewer than two means or a value is not finite.

    Examples
    --------
    >>> closest_pair([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    ClosestPair(pair=(1, 2), distance=1.0, relative=0.2)
    """
    from scipy.spatial.distance import pdist

    means = real(means, "means", ndim=2)
    if len(means) < 2:
        raise DataError(f"means: got {len(means)} row, expected at least two.")
    distances = pdist(means)  # condensed and from differences: exact where two means meet
    first, second = np.triu_indices(len(means), 1)
    nearest, median = int(distances.argmin()), float(np.median(distances))
    distance = float(distances[nearest])
    relative = distance / median if median > 0 else 0.0
    return ClosestPair((int(first[nearest]), int(second[nearest])), distance, relative)


def overlap(responsibilities: ArrayLike) -> Overlap:
    r"""Return how much components claim the same rows: pair by pair, and as one number.

    .. math:: O_{ij} = \frac{\mathbb E[r_i r_j]}{\mathbb E[r_i]}, \qquad
              \mathrm{ambiguity} = 1 - \mathbb E\big[\max_k r_k\big]

    :math:`O_{ij}` is the probability that a row drawn from component i is given to j when its component is
    drawn anew from the responsibilities. Rows of O sum to 1; O is the identity if every row is certain, and
    two identical components share each other's mass half and half. The row of a component without any mass is
    zero. The ambiguity lies between 0 and 1 - 1/m.

    Parameters
    ----------
    responsibilities : array-like or Tensor (n, m)
        Probability of each component for each row.

    Raises
    ------
    DataError
        If rows are not probabilities.

    Examples
    --------
    >>> overlap([[0.5, 0.5], [0.5, 0.5]])
    Overlap(matrix=array([[0.5, 0.5], [0.5, 0.5]]), ambiguity=0.5)
    """
    return _overlap(responsibility_matrix(responsibilities))


def dead_components(responsibilities: ArrayLike, share: float | None = None) -> list[int]:
    """Return the components whose hard occupancy is below a share of the rows.

    Parameters
    ----------
    responsibilities : array-like or Tensor (n, m)
        Probability of each component for each row.
    share : float, optional
        From 0 to 1; a tenth of an equal share, ``0.1 / m``, unless given.

    Raises
    ------
    ConfigError
        If `share` is not between 0 and 1.
    DataError
        If rows are not probabilities.

    Examples
    --------
    >>> dead_components([[0.9, 0.1], [0.7, 0.3]])
    [1]
    """
    return _dead(_occupancy(responsibility_matrix(responsibilities)).hard, share)


def diagnose(responsibilities: ArrayLike, means: ArrayLike | None = None) -> dict[str, Any]:
    """Return this module's numbers as plain values, small enough to be logged every epoch.

    Parameters
    ----------
    responsibilities : array-like or Tensor (n, m)
        Probability of each component for each row.
    means : array-like or Tensor (m, d), optional
        Means, or whole particles (m, p).

    Returns
    -------
    dict
        ``occupancy`` (soft) and ``hard_occupancy``: lists of m floats; ``effective_components`` and
        ``distinct_components``: float;
        ``dead_components``: list of int; ``ambiguity``: float. With at least two components also
        ``confused_pair`` ([i, j], where :math:`O_{ij}` is the largest off the diagonal) and ``confusion``
        (that value); with `means` as well ``closest_pair`` ([i, j]), ``closest_distance`` and
        ``closest_relative``.

    Raises
    ------
    DataError
        If rows are not probabilities, or `means` has not one finite row a component.

    Examples
    --------
    >>> log = diagnose([[1.0, 0.0], [0.0, 1.0]], means=[[0.0], [2.0]])
    >>> log["effective_components"], log["dead_components"], log["closest_distance"]
    (2.0, [], 2.0)
    """
    r = responsibility_matrix(responsibilities)
    shares, shared = _occupancy(r), _overlap(r)
    log: dict[str, Any] = {
        "occupancy": shares.soft.tolist(),
        "hard_occupancy": shares.hard.tolist(),
        "effective_components": _perplexity(shares.soft),
        "distinct_components": _distinct(r),
        "dead_components": _dead(shares.hard, None),
        "ambiguity": shared.ambiguity,
    }
    if r.shape[1] > 1:
        log |= _most_confused(shared.matrix)
    if means is not None:
        means = real(means, "means", ndim=2)
        if len(means) != r.shape[1]:
            raise DataError(f"means: got {len(means)} rows, expected {r.shape[1]}, one for each component.")
        log |= _closest(means) if len(means) > 1 else {}
    return log


def _occupancy(r: np.ndarray) -> Occupancy:
    hard = np.bincount(r.argmax(axis=1), minlength=r.shape[1]) / len(r)
    soft = r.mean(axis=0)
    return Occupancy(hard, soft / soft.sum())  # rows in low precision miss 1 by a little


def _perplexity(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def _distinct(r: np.ndarray) -> float:
    mean = r.mean(axis=0)
    ratio = np.divide(r, mean, out=np.ones_like(r), where=(r > 0) & (mean > 0))
    return float(np.exp((r * np.log(ratio)).sum(axis=1).mean()))


def _overlap(r: np.ndarray) -> Overlap:
    joint = r.T @ r  # (m, m), n E[r_i r_j]
    mass = joint.sum(axis=1, keepdims=True)  # n E[r_i], because rows sum to 1
    matrix = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    ambiguity = max(0.0, float(1 - r.max(axis=1).mean()))  # low precision can exceed 1
    return Overlap(matrix, ambiguity)


def _dead(hard: np.ndarray, share: float | None) -> list[int]:
    share = 0.1 / len(hard) if share is None else share
    if not 0 <= share <= 1:
        raise ConfigError(f"share: got {share!r}, expected a number from 0 to 1.")
    return np.flatnonzero(hard < share).tolist()


def _most_confused(matrix: np.ndarray) -> dict[str, Any]:
    off_diagonal = np.where(np.eye(len(matrix), dtype=bool), -1.0, matrix)
    i, j = divmod(int(off_diagonal.argmax()), len(matrix))
    return {"confused_pair": [i, j], "confusion": float(matrix[i, j])}


def _closest(means: np.ndarray) -> dict[str, Any]:
    near = closest_pair(means)
    return {
        "closest_pair": list(near.pair),
        "closest_distance": near.distance,
        "closest_relative": near.relative,
    }
