r"""Log-densities of mixture components and of observations; everything stays in log space.

Shapes: points (\*r, b, d), component parameters (\*r, m, ...), results (\*r, b, m).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "categorical_kl",
    "cholesky_log_prob",
    "diagonal_log_prob",
    "normal_entropy",
    "normal_kl",
    "normal_log_prob",
    "standard_normal_kl",
]

LOG_2PI = math.log(2 * math.pi)


def diagonal_log_prob(z: Tensor, means: Tensor, log_vars: Tensor) -> Tensor:
    r"""Return :math:`\log N(z; \mu_c, \mathrm{diag}\,\sigma_c^2)` for every point and component, (*r, b, m).

    Parameters
    ----------
    z : Tensor (*r, b, d)
    means, log_vars : Tensor (*r, m, d)
        `log_vars` is :math:`\log \sigma^2`.
    """
    difference = z.unsqueeze(-2) - means.unsqueeze(-3)
    quadratic = (difference.square() * torch.exp(-log_vars).unsqueeze(-3)).sum(-1)
    return -0.5 * (quadratic + (log_vars.sum(-1) + z.shape[-1] * LOG_2PI).unsqueeze(-2))


def cholesky_log_prob(z: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    r"""Return :math:`\log N(z; \mu_c, L_c L_c^\top)` for every point and component, (*r, b, m).

    Parameters
    ----------
    z : Tensor (*r, b, d)
    means : Tensor (*r, m, d)
    scale_tril : Tensor (*r, m, d, d)
        Lower-triangular factors with positive diagonal.
    """
    difference = (z.unsqueeze(-3) - means.unsqueeze(-2)).mT  # (*r, m, d, b)
    whitened = torch.linalg.solve_triangular(scale_tril, difference, upper=False)
    log_det = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (*r, m)
    log_prob = -0.5 * (whitened.square().sum(-2) + z.shape[-1] * LOG_2PI) - log_det.unsqueeze(-1)
    return log_prob.mT


def normal_log_prob(x: Tensor, mean: Tensor, variance: float | Tensor) -> Tensor:
    r"""Return :math:`\sum_j \log N(x_j; \hat x_j, \sigma^2)` per row, (b,), for one variance of all columns."""
    log_variance = variance.log() if isinstance(variance, Tensor) else math.log(variance)
    quadratic = (x - mean).square().sum(-1) / variance
    return -0.5 * (quadratic + x.shape[-1] * (LOG_2PI + log_variance))


def normal_entropy(log_var: Tensor) -> Tensor:
    r"""Return the entropy :math:`\tfrac12 \sum_j (1 + \log 2\pi + \log \sigma_j^2)` of diagonal normals, (b,)."""
    return 0.5 * (log_var.sum(-1) + log_var.shape[-1] * (1 + LOG_2PI))


def normal_kl(mean: Tensor, log_var: Tensor, prior_mean: Tensor, prior_log_var: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{KL}(N(\mu, \sigma^2) \,\|\, N(\mu_0, \sigma_0^2))` of diagonal normals (last axis)."""
    quadratic = (log_var.exp() + (mean - prior_mean).square()) * torch.exp(-prior_log_var)
    return 0.5 * (prior_log_var - log_var + quadratic - 1).sum(-1)


def standard_normal_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{KL}(N(\mu, \sigma^2) \,\|\, N(0, I))` per row, (b,)."""
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(-1)


def categorical_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    r"""Return :math:`\sum_c q_c (\log q_c - \log p_c)` over the last axis, from finite log-probabilities.

    A log-softmax is finite, so :math:`0 \log 0` never appears, neither here nor in the gradient (where
    ``xlogy(q, q)`` would give -inf).
    """
    return (log_q.exp() * (log_q - log_p)).sum(-1)
