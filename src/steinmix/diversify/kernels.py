"""Kernels on particles, as objects that return the sums a diversifier needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .._params import Configuration
from ..numerics.kernels import DIRECT_LIMIT, about_first, imq, rbf, rbf_sums, repulsion, squared_distances
from .bandwidths import Bandwidth, as_bandwidth

__all__ = ["IMQ", "RBF", "Identity", "Kernel", "KernelSums"]

BLOCK_ROWS = 256
"""Rows of the kernel matrix held at once: memory stays O(m p) and a block stays near the cache."""


class KernelSums(NamedTuple):
    r"""The three sums over j, for every particle i.

    Attributes
    ----------
    smoothed : Tensor (*r, m, p)
        :math:`\sum_j k_{ij} g_j`.
    repulsion : Tensor (*r, m, p)
        :math:`\sum_j \nabla_{\theta_j} k(\theta_j, \theta_i)`; added, it points away from neighbours.
    mass : Tensor (*r, m, 1) or None
        :math:`\sum_j k_{ij}`, if it was asked for.
    """

    smoothed: Tensor
    repulsion: Tensor
    mass: Tensor | None = None


class Kernel(Protocol):
    """What a diversifier asks of a kernel."""

    def sums(self, theta: Tensor, ascent: Tensor, mass: bool = False) -> KernelSums:
        """Return the sums for particles `theta` (*r, m, p) and directions `ascent` (*r, m, p)."""
        ...

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and W, both (*r, m, m)."""
        ...


@dataclass
class _Radial(Configuration, ABC):
    bandwidth: float | str | Bandwidth = "median"

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and W, both (*r, m, m)."""
        centred = theta - theta.mean(-2, keepdim=True)
        return self._profile(squared_distances(centred, centred), as_bandwidth(self.bandwidth)(theta))

    def sums(self, theta: Tensor, ascent: Tensor, mass: bool = False) -> KernelSums:
        """Return the sums, for many particles computed in blocks of rows so that memory is O(m p)."""
        h = as_bandwidth(self.bandwidth)(theta)
        if theta.shape[-2] <= DIRECT_LIMIT:
            near = about_first(theta)
            return KernelSums(*self._block(near, near, ascent, h))
        centred = theta - theta.mean(-2, keepdim=True)
        parts = [self._block(rows, centred, ascent, h) for rows in centred.split(BLOCK_ROWS, dim=-2)]
        return KernelSums(*(torch.cat(p, dim=-2) for p in zip(*parts)))

    def _block(self, rows: Tensor, theta: Tensor, ascent: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        k, w = self._profile(squared_distances(rows, theta), h)
        return k @ ascent, repulsion(w, rows, theta), k.sum(-1, keepdim=True)

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

    def sums(self, theta: Tensor, ascent: Tensor, mass: bool = False) -> KernelSums:
        """Return the sums; memory is O(m p)."""
        return KernelSums(*rbf_sums(theta, ascent, as_bandwidth(self.bandwidth)(theta), mass))


@dataclass
class IMQ(_Radial):
    r"""Inverse multiquadric kernel :math:`k(\theta, \theta') = (1 + \lVert\theta - \theta'\rVert^2 / h^2)^{-1/2}`.

    Its tails are heavier than the Gaussian's, so far particles still feel each other.

    Parameters
    ----------
    bandwidth : str, float or Bandwidth, default="median"
    """

    def _profile(self, squared: Tensor, h: float | Tensor) -> tuple[Tensor, Tensor]:
        return imq(squared, h)


@dataclass
class Identity(Configuration):
    """The neutral kernel: K = I, no repulsion. NSVGD with it is the undiversified method."""

    def sums(self, theta: Tensor, ascent: Tensor, mass: bool = False) -> KernelSums:
        """Return `ascent`, zero and one."""
        return KernelSums(ascent, torch.zeros_like(ascent), torch.ones_like(ascent[..., :1]))

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return I and 0."""
        eye = torch.eye(theta.shape[-2], dtype=theta.dtype, device=theta.device).expand(*theta.shape[:-1], -1)
        return eye, torch.zeros_like(eye)
