r"""Kernels that look at what a particle stands for, in place of its bare numbers.

A particle of a Gaussian mixture is [means, scales], two blocks of different units: one kernel over both weighs a
logarithm of a variance, or an entry of a Cholesky factor, like a coordinate of the data. Each class here wraps a radial
kernel :math:`\kappa` and takes it at features :math:`f(\theta)`,

.. math:: k(\theta, \theta') = \kappa(f(\theta), f(\theta')), \qquad
          \nabla_{\theta_j} k(\theta_j, \theta_i) = f'(\theta_j) \odot w_{ij} (f(\theta_i) - f(\theta_j)),

with w of `steinmix.numerics.kernels`: every coordinate of f here depends on one coordinate of theta alone, so that its
Jacobian is the vector f'. The gradients that are smoothed stay those with respect to theta. The gradient of
:math:`k(\theta_j, \theta_i)` with respect to :math:`\theta_i`, which `Pairwise` takes, has :math:`f'(\theta_i)` in its
place and the other sign.

====================  =================================================================  =========
`family`              particle                                                           length p
====================  =================================================================  =========
"unit"                means                                                              d
"diag"                means, logarithms of variances                                     2 d
"full"                means, raw factor, row by row: L has a softplus of its diagonal    d + d^2
                      (`CholeskyMixture`)
"cholesky"            means, Cholesky factor L as it stands, row by row; a negative      d + d^2
                      diagonal turns its column (`SignedCholeskyMixture`)
====================  =================================================================  =========
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .._params import Configuration
from ..errors import ConfigError
from ..numerics.kernels import about_first, repulsion
from ..numerics.precision import widened, without_autocast
from .base import check_part
from .kernels import RBF, Kernel, in_float32

__all__ = ["MeansOnly", "OnFeatures", "Standardised", "Wasserstein"]

SMALLEST_SPREAD = 1e-6
"""Of a block whose components are all alike; below it units would be made of rounding errors."""


@dataclass
class _OfFamily(Configuration, ABC):
    """A radial kernel, and what a particle is made of."""

    kernel: Kernel = field(default_factory=RBF)
    family: str = "diag"

    def __post_init__(self) -> None:
        check_part("kernel", self.kernel, "direction")

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Refuse: no W gives the gradient with respect to theta."""
        raise ConfigError(f"{type(self).__name__} has no matrices for LogDet; use it with NSVGD or Pairwise.")

    @abstractmethod
    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return the direction ``(*r, m, p)``, as `Kernel` has it.

        Raises
        ------
        ConfigError
            If there is no such family, or its particles have another length.
        """


@dataclass
class OnFeatures(_OfFamily):
    """Kernel at features that depend on theta coordinate by coordinate; it holds (m, m) matrices."""

    @in_float32
    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return the direction ``(*r, m, p)``."""
        k, away = self.parts(theta)
        phi = k @ ascent + strength * away
        return phi / k.sum(-1, keepdim=True) if normalised else phi

    def parts(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return K ``(*r, m, m)`` and :math:`\sum_j \nabla_{\theta_j} k(\theta_j, \theta_i)`, ``(*r, m, p)``."""
        features, slopes = self._features(theta)
        k, w = self.kernel.matrices(features)
        near = about_first(features)
        # sum_j w_ij f'_j (f_i - f_j)
        return k, near * (w @ slopes) - w @ (slopes * near)

    def apart(self, theta: Tensor) -> Tensor:
        r"""Return :math:`-\sum_j \nabla_{\theta_i} k(\theta_j, \theta_i)`, ``(*r, m, p)``, which a penalty ascends.

        It has the slopes of i where the repulsion of `direction` has those of j: f may bend.
        """
        with without_autocast(theta.device):
            features, slopes = self._features(widened(theta))
            w, near = self.kernel.matrices(features)[1], about_first(features)
            return (slopes * repulsion(w, near, near)).to(theta.dtype)

    def gradients(self, theta: Tensor) -> tuple[Tensor, Iterator[Tensor]]:
        r"""Return K and, for i by i, :math:`\nabla_{\theta_j} k(\theta_j, \theta_i)` of all j, ``(*r, m, p)``."""
        features, slopes = self._features(theta)
        k, w = self.kernel.matrices(features)
        rows = zip(features.split(1, dim=-2), w.unbind(-2))
        return k, (w_i.unsqueeze(-1) * slopes * (f_i - features) for f_i, w_i in rows)

    @abstractmethod
    def _features(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return f and f', both ``(*r, m, p)``."""


@dataclass
class Wasserstein(OnFeatures):
    r"""Kernel over the components as distributions: at :math:`f = [\mu, \sigma]`, or :math:`[\mu, L]` with Cholesky.

    The distance of features is the root mean square distance of draws :math:`\mu + L \epsilon` that share their noise.
    For diagonal covariances that is the 2-Wasserstein distance; for others an upper bound of it, zero for equal
    distributions alone, that keeps the kernel positive definite, which the distance itself does not.

    Parameters
    ----------
    kernel : RBF, IMQ or Identity, default=RBF()
        Its bandwidth is taken over what it sees.
    family : {"diag", "full", "cholesky", "unit"}, default="diag"
        What a particle is made of; see the module.
    """

    def _features(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        means, scales = _blocks(theta, self.family)
        values, slopes = _family(self.family).scales(scales)
        return torch.cat([means, values], -1), torch.cat([torch.ones_like(means), slopes], -1)


@dataclass
class Standardised(OnFeatures):
    r"""Kernel at blocks, means and scales, each divided by its own spread over the components.

    The spread is the root mean square deviation of a block from the components' mean. So units of a block do not matter
    and no block hides the other. Like the bandwidth it counts as a constant.

    Parameters
    ----------
    kernel : RBF, IMQ or Identity, default=RBF()
        Its bandwidth is taken over what it sees.
    family : {"diag", "full", "cholesky", "unit"}, default="diag"
        What a particle is made of; see the module.
    """

    def _features(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        slopes = torch.cat([_inverse_spread(block) for block in _blocks(theta, self.family)], dim=-1)
        return theta * slopes, slopes


@dataclass
class MeansOnly(_OfFamily):
    r"""Kernel over the means alone: means are smoothed and repelled, scales keep their own gradient.

    It is the matrix-valued kernel that has :math:`\kappa(\mu, \mu')` for the means and the identity for the scales.

    Parameters
    ----------
    kernel : RBF, IMQ or Identity, default=RBF()
        Its bandwidth is taken over what it sees.
    family : {"diag", "full", "cholesky", "unit"}, default="diag"
        What a particle is made of; see the module.
    """

    @in_float32
    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return the direction ``(*r, m, p)``."""
        means = _blocks(theta, self.family)[0]
        d = means.shape[-1]
        moved = self.kernel.direction(means, ascent[..., :d], strength, normalised)
        return torch.cat([moved, ascent[..., d:]], dim=-1)


def _inverse_spread(block: Tensor) -> Tensor:
    """Return 1 / spread of a block (*r, m, q), in its shape; 1 where its components are alike."""
    if not block.shape[-1]:
        return block
    squared = (block - block.mean(-2, keepdim=True)).square().mean((-2, -1), keepdim=True)
    alike = squared <= SMALLEST_SPREAD**2
    return torch.where(alike, torch.ones_like(squared), squared.rsqrt()).expand_as(block)


def _deviations(log_vars: Tensor) -> tuple[Tensor, Tensor]:
    sigma = (0.5 * log_vars).exp()
    return sigma, 0.5 * sigma


def _raw_factor(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return L and dL / draw of raw factors (*r, m, d * d); the upper triangle is no part of the distribution."""
    below, on = (part.flatten() for part in _triangle(raw))
    return below * raw + on * F.softplus(raw), below + on * torch.sigmoid(raw)


def _plain_factor(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return L and dL / draw where L stands there itself; L L' is the same whichever the sign of a column."""
    below, on = _triangle(raw)
    diagonal = (raw.unflatten(-1, on.shape) * on).sum(-2, keepdim=True)
    slopes = ((below + on) * torch.where(diagonal < 0, -1.0, 1.0)).flatten(-2).to(raw)
    return slopes * raw, slopes


def _triangle(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Return what picks the entries below the diagonal, and those on it, (d, d), of factors (*r, m, d * d)."""
    d = math.isqrt(raw.shape[-1])
    whole = torch.ones(d, d, dtype=raw.dtype, device=raw.device)
    return whole.tril(-1), whole.diag().diag()


def _none(scales: Tensor) -> tuple[Tensor, Tensor]:
    return scales, scales


def _squared(p: int) -> int:
    """Return d where p = d + d^2."""
    return (math.isqrt(1 + 4 * p) - 1) // 2


class _Family(NamedTuple):
    """What the particles of a family of components are made of."""

    means: Callable[[int], int]
    """Number of means d in p numbers."""
    length: Callable[[int], int]
    """p, of d."""
    scales: Callable[[Tensor], tuple[Tensor, Tensor]]
    """The scales as features, and the derivative."""


FAMILIES = {
    "diag": _Family(lambda p: p // 2, lambda d: 2 * d, _deviations),
    "full": _Family(_squared, lambda d: d + d * d, _raw_factor),
    "cholesky": _Family(_squared, lambda d: d + d * d, _plain_factor),
    "unit": _Family(lambda p: p, lambda d: d, _none),
}


def _family(name: str) -> _Family:
    if name not in FAMILIES:
        raise ConfigError(f"family is {name!r}; expected one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def _blocks(theta: Tensor, family: str) -> list[Tensor]:
    """Return the means (*r, m, d) and the scales (*r, m, p - d), which may be empty."""
    known, p = _family(family), theta.shape[-1]
    d = known.means(p)
    if known.length(d) != p:
        raise ConfigError(f"Got particles of {p} numbers, which no component of family {family!r} has; name another.")
    return list(theta.split([d, p - d], dim=-1))
