"""Kernels on particles, as objects that return the direction a diversifier is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Protocol

import torch
from torch import Tensor

from .._params import Configuration
from ..numerics.kernels import DIRECT_LIMIT, about_first, imq, rbf, rbf_direction, repulsion, squared_distances
from ..numerics.precision import widened, without_autocast
from .bandwidths import Bandwidth, as_bandwidth

__all__ = ["IMQ", "RBF", "Identity", "Kernel", "in_float32"]

BLOCK_ROWS = 256
"""Rows of the kernel matrix held at once: memory stays O(m p) and a block stays near the cache."""


class Kernel(Protocol):
    """What a diversifier asks of a kernel."""

    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        r"""Return :math:`\sum_j [k_{ij} g_j + s \nabla_{\theta_j} k(\theta_j, \theta_i)]` for every particle i.

        Parameters
        ----------
        theta, ascent : Tensor ``(*r, m, p)``
            Particles, and the g of each.
        strength : float or Tensor ``(*r, 1, 1)``
            s; where it is positive the second sum points away from neighbours.
        normalised : bool, default=False
            Whether to divide by :math:`\sum_j k_{ij}`.
        """
        ...

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and W, both ``(*r, m, m)``."""
        ...


def in_float32(direction: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Take a kernel's ``direction`` of half types in float32, and return it in theirs; under autocast too.

    Squares of float16 overflow from 256 on, and s / h^2 at a bandwidth of thousandths. Distances between far particles
    are what is left of large products.

    Parameters
    ----------
    direction : callable
        Method of a kernel; see `Kernel.direction`.
    """

    @wraps(direction)
    def wide(
        kernel: Kernel, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False
    ) -> Tensor:
        with without_autocast(theta.device):
            if theta.dtype.itemsize >= 4:
                return direction(kernel, theta, ascent, strength, normalised)
            return direction(kernel, widened(theta), widened(ascent), strength, normalised).to(theta.dtype)

    return wide


@dataclass
class _Radial(Configuration, ABC):
    bandwidth: float | str | Bandwidth = "median"

    def __post_init__(self) -> None:
        as_bandwidth(self.bandwidth)  # a wrong one is told here, not after the pretraining of a fit

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and W, both ``(*r, m, m)``.

        Parameters
        ----------
        theta : Tensor ``(*r, m, p)``
            Particles.
        """
        centred = theta - theta.mean(-2, keepdim=True)
        h = as_bandwidth(self.bandwidth)(theta)
        return self._profile(squared_distances(centred, centred, h), h)

    @in_float32
    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return the direction ``(*r, m, p)``; of many particles in blocks of rows, so that memory is O(m p).

        Parameters
        ----------
        theta, ascent : Tensor ``(*r, m, p)``
            Particles, and the gradient of each.
        strength : float or Tensor ``(*r, 1, 1)``
            Weight of the repulsion; see `Kernel.direction` for the sum.
        normalised : bool, default=False
            Whether to divide each particle's direction by the sum of its kernel values.
        """
        h, few = as_bandwidth(self.bandwidth)(theta), theta.shape[-2] <= DIRECT_LIMIT
        near = about_first(theta) if few else theta - theta.mean(-2, keepdim=True)
        found = []
        for rows in near.split(BLOCK_ROWS, dim=-2):
            k, w = self._profile(squared_distances(rows, near, h), h)
            phi = k @ ascent + strength * repulsion(w, rows, near)
            found.append(phi / k.sum(-1, keepdim=True) if normalised else phi)
        return torch.cat(found, dim=-2)

    @abstractmethod
    def _profile(self, squared: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return K and W for squared distances."""


@dataclass
class RBF(_Radial):
    r"""Gaussian kernel :math:`k(\theta, \theta') = \exp(-\lVert\theta - \theta'\rVert^2 / (2 h^2))`.

    Parameters
    ----------
    bandwidth : str, float or Bandwidth, default="median"
        A rule by name (``"median"``, ``"median_log"``, ``"median_squared_with_zeros"``), a length, or a rule.
    """

    def _profile(self, squared: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
        return rbf(squared, h)

    @in_float32
    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return the direction ``(*r, m, p)``; memory is O(m p).

        Parameters
        ----------
        theta, ascent : Tensor ``(*r, m, p)``
            Particles, and the gradient of each.
        strength : float or Tensor ``(*r, 1, 1)``
            Weight of the repulsion; see `Kernel.direction` for the sum.
        normalised : bool, default=False
            Whether to divide each particle's direction by the sum of its kernel values.
        """
        return rbf_direction(theta, ascent, as_bandwidth(self.bandwidth)(theta), strength, normalised)


@dataclass
class IMQ(_Radial):
    r"""Inverse multiquadric kernel :math:`k(\theta, \theta') = (1 + \lVert\theta - \theta'\rVert^2 / h^2)^{-1/2}`.

    Its tails are heavier than the Gaussian's, so far particles still feel each other.

    Parameters
    ----------
    bandwidth : str, float or Bandwidth, default="median"
        A rule by name, a length, or a rule, as in `RBF`.
    """

    def _profile(self, squared: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
        return imq(squared, h)


@dataclass
class Identity(Configuration):
    """The neutral kernel: K = I, no repulsion. NSVGD with it is the undiversified method."""

    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return `ascent`.

        Parameters
        ----------
        theta, ascent : Tensor ``(*r, m, p)``
            Particles, and the gradient of each.
        strength, normalised : Ignored
            There is no repulsion, and the kernel values of a particle sum to 1.
        """
        return ascent

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return I and 0.

        Parameters
        ----------
        theta : Tensor ``(*r, m, p)``
            Particles.
        """
        eye = torch.eye(theta.shape[-2], dtype=theta.dtype, device=theta.device).expand(*theta.shape[:-1], -1)
        return eye, torch.zeros_like(eye)
