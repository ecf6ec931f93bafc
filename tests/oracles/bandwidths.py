"""Bandwidth rules by sorting explicit lists."""

import numpy as np


def squared_matrix(theta):
    """All m^2 squared distances of the rows of `theta` (m, p)."""
    rows = np.asarray(theta, dtype=np.float64)
    return np.array([[((a - b) ** 2).sum() for b in rows] for a in rows])


def middle(values):
    """The median of a list, the mean of the two middle ones if their number is even."""
    ranked = sorted(values)
    half = len(ranked) // 2
    return ranked[half] if len(ranked) % 2 else (ranked[half - 1] + ranked[half]) / 2


def median(theta):
    """Paper: the median distance over unordered pairs."""
    squared = squared_matrix(theta)
    return middle([float(np.sqrt(squared[i, j])) for i in range(len(squared)) for j in range(i)])


def median_squared_with_zeros(theta):
    """Released code: exp(-d^2 / median of the whole matrix) = exp(-d^2 / (2 h^2))."""
    return float(np.sqrt(max(np.median(squared_matrix(theta)), 1e-6) / 2))


def median_log(theta):
    """SVGD's code: h = sqrt(0.5 * median / log(m + 1)), kernel exp(-d^2 / (2 h^2))."""
    return float(np.sqrt(0.5 * np.median(squared_matrix(theta)) / np.log(len(theta) + 1)))
