r"""Weighted moments of points and the normal mixture they make, in float64.

Covariances are taken of centred points: :math:`E[zz^\top] - \mu\mu^\top` loses all digits of a tight group far from 0.
Shapes: points (\*r, b, d), shares (\*r, b, m), weights (\*r, m), means (\*r, m, d), covariances (\*r, m, d, d).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from .densities import LOG_2PI

__all__ = ["SMALLEST_VARIANCE", "Moments", "merged_moments", "safe_cholesky", "weighted_moments"]

SMALLEST_VARIANCE = 1e-6
"""Added to the diagonal of a covariance before it is factorised, in the units of the points squared."""

ROUNDING = 1e-10
"""Added too, relative to the mean variance: far above what float64 loses, so that no factorisation can fail."""

SMALLEST_MASS = 1e-12


class Moments(NamedTuple):
    """Weights, means and covariances of m groups of points.

    Attributes
    ----------
    weights : Tensor (*r, m)
        Shares of the points; they sum to one.
    means : Tensor (*r, m, d)
    covariances : Tensor (*r, m, d, d)
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def joint_log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log \phi_k + \log N(z; \mu_k, \Sigma_k)`, (*r, b, m), for points `z` (*r, b, d)."""
        factor = safe_cholesky(self.covariances)
        eye = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        # In float64 the inverse of a small factor is exact enough, and a product keeps the long axis last.
        whitened = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False) @ _centred(z, self.means)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = self.weights.clamp(min=SMALLEST_MASS).log() - log_det - 0.5 * z.shape[-1] * LOG_2PI
        return torch.add(constant.unsqueeze(-1), whitened.square().sum(-2), alpha=-0.5).mT

    def inverse_variances(self) -> Tensor:
        r"""Return :math:`\sum_k \sum_j 1 / \Sigma_{kjj}`, (*r,); a variance counts as `SMALLEST_VARIANCE` at least."""
        variances = self.covariances.diagonal(dim1=-2, dim2=-1)
        return variances.clamp(min=SMALLEST_VARIANCE).reciprocal().sum((-2, -1))


def weighted_moments(z: Tensor, shares: Tensor) -> Moments:
    """Return the moments of points `z` (*r, b, d), of which each group has a share (*r, b, m)."""
    mass = shares.sum(-2)
    share = (shares / mass.clamp(min=SMALLEST_MASS).unsqueeze(-2)).mT  # (*r, m, b)
    means = share @ z
    centred = _centred(z, means.detach())  # the weighted sum of what is left is 0, and with it the means' gradient
    covariances = (centred * share.unsqueeze(-2)) @ centred.mT
    return Moments(mass / shares.shape[-2], means, covariances)


def _centred(z: Tensor, means: Tensor) -> Tensor:
    """Return the points less each mean, (*r, m, d, b): the long axis last."""
    return z.mT.contiguous().unsqueeze(-3) - means.unsqueeze(-1)


def merged_moments(parts: Iterable[tuple[int, Moments]]) -> Moments:
    """Return the moments of all points from those of parts of them, given as (number of points, moments).

    Groups are merged about their own means (Chan, Golub and LeVeque, 1983), in memory that does not grow with the
    number of parts.
    """
    return reduce(_merged, parts)[1]


def _merged(a: tuple[int, Moments], b: tuple[int, Moments]) -> tuple[int, Moments]:
    n = a[0] + b[0]
    mass_a, mass_b = a[1].weights * (a[0] / n), b[1].weights * (b[0] / n)
    mass = mass_a + mass_b
    share = (mass_b / mass.clamp(min=SMALLEST_MASS)).unsqueeze(-1)
    gap = b[1].means - a[1].means
    between = gap.unsqueeze(-1) * gap.unsqueeze(-2) * (share * (1 - share)).unsqueeze(-1)
    covariances = torch.lerp(a[1].covariances, b[1].covariances, share.unsqueeze(-1)) + between
    return n, Moments(mass, a[1].means + gap * share, covariances)


def safe_cholesky(covariances: Tensor) -> Tensor:
    r"""Return the lower factor of :math:`\Sigma + \epsilon I`, (*r, m, d, d), for any positive semidefinite Sigma.

    The jitter :math:`\epsilon` is `SMALLEST_VARIANCE` plus `ROUNDING` of the mean variance, so that equal points and
    empty groups have a factor too; nothing is tried and repeated, and the device is not waited for.
    """
    scale = covariances.diagonal(dim1=-2, dim2=-1).mean(-1).detach()
    jitter = SMALLEST_VARIANCE + ROUNDING * scale
    eye = torch.eye(covariances.shape[-1], dtype=covariances.dtype, device=covariances.device)
    return torch.linalg.cholesky_ex(covariances + jitter[..., None, None] * eye).L
