r"""Distances between particles and the two sums every diversifier is made of.

A radial kernel :math:`k(\theta, \theta') = \kappa(\lVert\theta - \theta'\rVert^2)` has

.. math:: \nabla_{\theta_j} k(\theta_j, \theta_i) = w_{ij} (\theta_i - \theta_j), \qquad
          w_{ij} = -2 \kappa'(\lVert\theta_i - \theta_j\rVert^2),

so that everything below needs only the matrices :math:`K = (k_{ij})` and :math:`W = (w_{ij})`. A tensor of size
(m, m, p) is formed for few particles alone, where it is faster.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..random import fixed_generator
from .precision import widened

__all__ = ["about_first", "imq", "pair_distances", "rbf", "rbf_direction", "repulsion", "squared_distances"]

DIRECT_LIMIT = 64
"""Up to this many rows distances are taken from differences; above, from one matrix product."""

SHORT_ROWS = 32
"""Up to this length of a row torch's own loop over pairs is the faster way to differences (twice, at 64 rows of 10);
above, its loop is not vectorised and costs twice as much (64 rows of 100)."""

FEW_ENTRIES = 40_000
"""Up to so many numbers in all differences, (m, m, p), they are formed: it takes fewer operations."""

FAR = 4000.0
"""Squared distance from the centre, in units of h^2, from which float32 loses what is left of the difference of two
products: 4000 x 6e-8 is 2e-4 of an exponent. Such particles are taken in float64."""

TILE = 256
"""Particles on a side of the part of K that is held at once: memory stays O(m p) and a tile in the cache."""

EXACT_PAIRS_LIMIT = 2000
RANDOM_PAIRS = 65_536
"""Above 2,000 particles the distances of 65,536 random pairs stand for all. Root mean square error of h^2,
of normal particles: 0.9 % for p = 1, 0.6 % for 2, 0.2 % for 10, 0.1 % for 50."""


def squared_distances(a: Tensor, b: Tensor, h: float | Tensor | None = None) -> Tensor:
    """Return the squared Euclidean distances (*r, k, m) between the rows of `a` (*r, k, p) and `b` (*r, m, p).

    Small sets are differenced directly, which is exact for equal rows; large ones use one matrix product, for
    which the caller should centre the rows, as rounding errors grow with their norm. Where rows are far out in units of
    `h`, a length or one for each leading index (*r,), the product is in float64.
    """
    if max(a.shape[-2], b.shape[-2]) <= DIRECT_LIMIT:
        return _by_differences(a, b)
    squares = b.square().sum(-1)
    if h is not None and _rounds(a, squares.amax(-1) > FAR * h**2):
        return squared_distances(a.double(), b.double()).to(a.dtype)
    product = torch.matmul(a, b.mT)
    return product.mul_(-2).add_(a.square().sum(-1).unsqueeze(-1)).add_(squares.unsqueeze(-2)).clamp_(min=0)


def _rounds(values: Tensor, far: Tensor) -> bool:
    """Whether some rows are too far out for the precision of `values`; a compiled program cannot ask: yes."""
    return values.dtype != torch.float64 and (torch.compiler.is_compiling() or bool(far.any()))


def _by_differences(a: Tensor, b: Tensor) -> Tensor:
    if a.shape[-1] <= SHORT_ROWS and a.dtype.itemsize >= 4:  # it knows no half precision
        return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square_()
    return (a.unsqueeze(-2) - b.unsqueeze(-3)).square_().sum(-1)


def pair_distances(theta: Tensor) -> Tensor:
    """Return the distances (*r, pairs) of the m(m-1)/2 unordered pairs of rows of `theta` (*r, m, p).

    Above 2,000 rows a fixed random sample of 65,536 pairs stands for all, so that the cost stays linear in m.
    """
    m = theta.shape[-2]
    if m <= DIRECT_LIMIT:
        return _by_differences(theta, theta).flatten(-2)[..., _upper(m, theta.device)].sqrt_()
    if m <= EXACT_PAIRS_LIMIT:
        return _all_pairs(theta)
    generator = fixed_generator()
    draw = torch.randint(m, (2, RANDOM_PAIRS), generator=generator, device=generator.device).to(theta.device)
    first, second = draw[:, draw[0] != draw[1]]
    return (theta[..., first, :] - theta[..., second, :]).square_().sum(-1).sqrt_()


def _all_pairs(theta: Tensor) -> Tensor:
    """From differences: where most particles have merged, the median distance is below the rounding of a product."""
    sets = widened(theta).reshape(-1, *theta.shape[-2:])  # torch's loop takes one at a time, and no half precision
    return torch.stack([torch.pdist(rows) for rows in sets]).reshape(*theta.shape[:-2], -1).to(theta.dtype)


@lru_cache(maxsize=32)
def _upper(m: int, device: torch.device) -> Tensor:
    """Return where the pairs i < j stand in a flattened (m, m) matrix; asked for at every step, so made once."""
    with torch.inference_mode(False):  # else parameters of a later caller could not be indexed with it
        first, second = torch.triu_indices(m, m, offset=1, device=device)
        return first * m + second


def _matrix(h: float | Tensor) -> float | Tensor:
    """Return a bandwidth for all or one per leading index (*r,), ready to divide (*r, m, m)."""
    return h[..., None, None] if isinstance(h, Tensor) else h


def rbf(squared: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
    r"""Return K and W of the Gaussian kernel :math:`\exp(-d^2 / (2 h^2))`: here :math:`W = K / h^2`.

    Parameters
    ----------
    squared : Tensor (*r, k, m)
        Squared distances.
    h : float or Tensor (*r,)
        Bandwidth, a length.
    """
    h2 = _matrix(h) ** 2
    k = torch.exp(squared / (-2 * h2))
    return k, k / h2


def imq(squared: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
    r"""Return K and W of the inverse multiquadric kernel :math:`(1 + d^2/h^2)^{-1/2}`: :math:`W = K^3 / h^2`."""
    h2 = _matrix(h) ** 2
    k = torch.rsqrt(1 + squared / h2)
    return k, k.pow(3) / h2


def about_first(theta: Tensor) -> Tensor:
    """Return particles (*r, m, p) relative to the first, as rounding errors grow with the norm; the mean costs more."""
    return theta - theta.narrow(-2, 0, 1)


def repulsion(weights: Tensor, rows: Tensor, theta: Tensor) -> Tensor:
    r"""Return :math:`R_i = \sum_j w_{ij} (\theta_i - \theta_j)`, which points away from neighbours.

    Parameters
    ----------
    weights : Tensor (*r, k, m)
    rows : Tensor (*r, k, p)
        The particles i.
    theta : Tensor (*r, m, p)
        All particles j.
    """
    return weights.sum(-1, keepdim=True) * rows - weights @ theta


def rbf_direction(
    theta: Tensor, ascent: Tensor, h: float | Tensor, strength: float | Tensor, normalised: bool = False
) -> Tensor:
    r"""Return :math:`\sum_j k_{ij} g_j + s R_i` with the Gaussian kernel and its repulsion R.

    As W = K / h^2, with :math:`c = s / h^2` this is :math:`\sum_j k_{ij} (g_j - c\,\theta_j) + c\,\theta_i \sum_j
    k_{ij}`: one product with K. Few particles are differenced instead, which is exact where they are far apart.

    Parameters
    ----------
    theta, ascent : Tensor (*r, m, p)
    h : float or Tensor (*r,)
    strength : float or Tensor (*r, 1, 1)
        s.
    normalised : bool, default=False
        Whether to divide by :math:`\sum_j k_{ij}`.

    Returns
    -------
    Tensor (*r, m, p)
    """
    (m, p), length, h = theta.shape[-2:], h, _matrix(h)
    if m * m * p <= FEW_ENTRIES:
        return _of_few(theta, ascent, h, strength / h**2, normalised)
    near = about_first(theta) if m <= DIRECT_LIMIT else theta - theta.mean(-2, keepdim=True)
    if _rounds(near, near.square().sum(-1, keepdim=True) > FAR * h**2):
        return rbf_direction(theta.double(), ascent.double(), length, strength, normalised).to(theta.dtype)
    if m > DIRECT_LIMIT:
        scaled = near / h
        pull = strength / h * scaled
        phi, mass = _of_many(scaled, ascent - pull)
    else:
        pull = strength / h**2 * near
        k = squared_distances(near, near).div_(-2 * h**2).exp_()
        phi, mass = k @ (ascent - pull), k.sum(-1, keepdim=True)
    phi = phi.addcmul_(pull, mass)
    return phi / mass if normalised else phi


def _of_few(theta: Tensor, ascent: Tensor, h: float | Tensor, pull: float | Tensor, normalised: bool) -> Tensor:
    difference = theta.unsqueeze(-2) - theta.unsqueeze(-3)
    k = difference.square().sum(-1).div_(-2 * h**2).exp_()
    away = difference.mul_(k.unsqueeze(-1)).sum(-2)
    phi = away.mul_(pull).add_(k @ ascent)
    return phi / k.sum(-1, keepdim=True) if normalised else phi


def _of_many(scaled: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return K @ values and the row sums of K, of particles about the origin in units of h, by tiles.

    The exponent -|a|^2 / 2 + a b - |b|^2 / 2 is one product of longer rows, and a tile and its mirror image share one
    exponential.
    """
    p, half, one = scaled.shape[-1], scaled.square().sum(-1, keepdim=True) / -2, torch.ones_like(scaled[..., :1])
    right = torch.cat([scaled, one, half], dim=-1).split(TILE, dim=-2)
    summed = torch.cat([values, one], dim=-1).mT.contiguous()  # short rows on the left: up to four times as fast
    parts, total = summed.split(TILE, dim=-1), torch.zeros_like(summed)
    sums = total.split(TILE, dim=-1)
    for i, tile in enumerate(right):
        rows = torch.cat([tile[..., :p], tile[..., p + 1 :], tile[..., p : p + 1]], dim=-1)
        for j in range(i, len(right)):
            k = (rows @ right[j].mT).clamp_(max=0).exp_()
            if i == j:  # whatever was rounded: a mass is never 0
                k.diagonal(dim1=-2, dim2=-1).fill_(1)
            sums[i].add_(parts[j] @ k.mT)
            if j > i:
                sums[j].add_(parts[i] @ k)
    smoothed, mass = total.mT.split([p, 1], dim=-1)
    return smoothed, mass
