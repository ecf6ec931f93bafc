"""Stein variational gradient descent after Algorithm 1 of Liu and Wang (2016), in NumPy."""

import numpy as np

from .bandwidths import median


def direction(x, score, h):
    """phi(x_i) = 1/n sum_j [ k(x_j, x_i) score(x_j) + grad_{x_j} k(x_j, x_i) ], (n, d)."""
    out = np.zeros_like(x)
    for i in range(len(x)):
        for_all_j = x - x[i]
        k = np.exp(-(for_all_j**2).sum(1) / (2 * h**2))
        gradient_of_k = -for_all_j / h**2 * k[:, None]
        out[i] = (k[:, None] * score(x) + gradient_of_k).sum(0) / len(x)
    return out


def trajectory(x, score, step, steps):
    """Positions before and after each step, with the median bandwidth, (steps + 1, n, d)."""
    found = [x.copy()]
    for _ in range(steps):
        x = x + step * direction(x, score, median(x))
        found.append(x.copy())
    return np.stack(found)


def moments(log_density, low, high, power=1.0, points=200_001):
    """Mean and variance of the density proportional to exp(power * log_density), by quadrature."""
    grid = np.linspace(low, high, points)
    log_p = power * log_density(grid)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = (p * grid).sum()
    return mean, (p * (grid - mean) ** 2).sum()
