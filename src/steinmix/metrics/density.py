r"""How well a learnt mixture recovers a known one.

Arrays may have leading dimensions ``*r`` (restarts, a grid of alphas); scores have the shape ``*r``, and are
plain floats if there are none. The last axis is always the d dimensions of the space: in one dimension, pass
``means[:, None]``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..errors import DataError
from ._check import real

__all__ = ["mode_recovering_error", "total_variance", "variance_ratio"]


def mode_recovering_error(true_means: ArrayLike, means: ArrayLike) -> float | np.ndarray:
    r"""Return the mean distance of the true modes to their nearest learnt mean.

    .. math:: \frac1k \sum_{i=1}^k \min_j \lVert \mu^*_i - \mu_j \rVert

    Weights and variances do not enter, and several modes may share one learnt mean. Not symmetric: learnt
    means far from all modes cost nothing.

    Parameters
    ----------
    true_means : array-like or Tensor ``(*r, k, d)``
        Modes of the true mixture.
    means : array-like or Tensor ``(*r, m, d)``
        Leading dimensions broadcast against those of `true_means`.

    Returns
    -------
    float or ndarray ``(*r,)``

    Raises
    ------
    DataError
        If a shape does not fit or a value is not finite.

    References
    ----------
    Wang and Liu, Nonlinear Stein variational gradient descent (ICML 2019), Section 5.1.

    Examples
    --------
    >>> mode_recovering_error([[0.0], [4.0]], [[1.0], [1.5]])
    1.75
    """
    true_means, means = _points(true_means, "true_means"), _points(means, "means")
    if true_means.shape[-1] != means.shape[-1]:
        raise DataError(f"means: got {means.shape[-1]} dimensions, expected {true_means.shape[-1]} as in true_means.")
    _broadcast(true_means.shape[:-2], means.shape[:-2], "means", "(*r, m, d) with the *r of true_means")
    difference = true_means[..., :, None, :] - means[..., None, :, :]
    return _plain(np.linalg.norm(difference, axis=-1).min(axis=-1).mean(axis=-1))


def total_variance(
    means: ArrayLike, variances: ArrayLike = 1.0, weights: ArrayLike | None = None
) -> float | np.ndarray:
    r"""Return the trace of the covariance of a mixture with diagonal components.

    .. math:: \mathrm{tr}\,\mathrm{Cov}[x] = \sum_j w_j \Big( \lVert \mu_j - \bar\mu \rVert^2
              + \sum_{l=1}^d \sigma_{jl}^2 \Big), \qquad \bar\mu = \sum_j w_j \mu_j

    Parameters
    ----------
    means : array-like or Tensor ``(*r, m, d)``
        Means of the components.
    variances : array-like or Tensor ``(*r, m, d)``, or anything that broadcasts to it
        :math:`\sigma^2`, not its logarithm. A number holds for every component and dimension.
    weights : array-like or Tensor ``(*r, m)``, optional
        Probabilities; uniform if not given.

    Returns
    -------
    float or ndarray ``(*r,)``

    Raises
    ------
    DataError
        If a shape does not fit, a value is not finite, a variance is negative, or weights are not
        probabilities.

    Examples
    --------
    >>> total_variance([[-2.0], [2.0]])
    5.0
    """
    means, variances = _points(means, "means"), real(variances, "variances")
    if (variances < 0).any():
        raise DataError(f"variances: got {variances.min():.4g}, expected none below zero; exponentiate logarithms.")
    shape = _broadcast(means.shape, variances.shape, "variances", "a shape that broadcasts to (*r, m, d)")
    if shape[-2:] != means.shape[-2:]:
        raise DataError(f"variances: got shape {variances.shape}, expected one that broadcasts to {means.shape}.")
    w = _weights(weights, means.shape[-2])[..., None]  # (*r, m, 1)
    _broadcast(shape, w.shape, "weights", "(*r, m) with the *r of means")
    centred = means - (w * means).sum(axis=-2, keepdims=True)
    return _plain((w * (centred**2 + variances)).sum(axis=(-2, -1)))


def variance_ratio(
    true_means: ArrayLike,
    means: ArrayLike,
    variances: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    true_variances: ArrayLike = 1.0,
    true_weights: ArrayLike | None = None,
) -> float | np.ndarray:
    r"""Return the `total_variance` of the learnt mixture over that of the true one; 1 is ideal.

    Parameters
    ----------
    true_means : array-like or Tensor ``(*r, k, d)``
        Means of the true components.
    means : array-like or Tensor ``(*r, m, d)``
        Means of the learnt components.
    variances : array-like or Tensor ``(*r, m, d)``, or anything that broadcasts to it
        :math:`\sigma^2`, not its logarithm.
    weights : array-like or Tensor ``(*r, m)``, optional
        Uniform if not given.
    true_variances, true_weights : array-like or Tensor, optional
        Of the true mixture; unit variances and uniform weights unless given.

    Returns
    -------
    float or ndarray ``(*r,)``

    Raises
    ------
    DataError
        As `total_variance`; also if the true mixture has no variance.

    Notes
    -----
    The paper's true components have variance 1, the default here. The authors' code stores their log-variance
    as :math:`\log(2\sigma) = \log 2` and so divides by the variance of a mixture of components of variance 2:
    in one dimension its ratio is lower by the factor :math:`1 - 1/(v + 1)`, v the true total variance.
    ``true_variances=2.0`` gives the number that their code prints.

    References
    ----------
    Wang and Liu, Nonlinear Stein variational gradient descent (ICML 2019), Section 5.1.

    Examples
    --------
    >>> variance_ratio([[-2.0], [2.0]], means=[[-1.0], [1.0]], variances=1.5)
    0.5
    """
    truth = np.asarray(total_variance(true_means, true_variances, true_weights))
    if (truth == 0).any():
        raise DataError("true_means: got a mixture without variance, expected some to divide by.")
    learnt = np.asarray(total_variance(means, variances, weights))
    _broadcast(truth.shape, learnt.shape, "means", "(*r, m, d) with the *r of true_means")
    return _plain(learnt / truth)


def _points(x: ArrayLike, name: str) -> np.ndarray:
    array = real(x, name)
    if array.ndim < 2:
        raise DataError(f"{name}: got shape {array.shape}, expected (*r, m, d); in one dimension pass means[:, None].")
    return array


def _weights(weights: ArrayLike | None, m: int) -> np.ndarray:
    """Return probabilities ``(*r, m)``."""
    if weights is None:
        return np.full(m, 1 / m)
    w = real(weights, "weights")
    if w.ndim == 0 or w.shape[-1] != m:
        raise DataError(f"weights: got shape {w.shape}, expected (*r, {m}), one for each component.")
    if (w < 0).any() or not np.allclose(w.sum(axis=-1), 1, atol=1e-4):
        raise DataError(f"weights: got sums {w.sum(axis=-1)} and minimum {w.min():.4g}, expected probabilities.")
    return w


def _broadcast(expected: tuple[int, ...], got: tuple[int, ...], name: str, what: str) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(expected, got)
    except ValueError as error:
        raise DataError(f"{name}: got {got} against {expected}, expected {what}.") from error


def _plain(x: np.ndarray) -> float | np.ndarray:
    """Return a float where there are no leading dimensions."""
    return float(x) if np.ndim(x) == 0 else x
