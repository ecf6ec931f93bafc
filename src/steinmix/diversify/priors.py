"""Priors on particles: on an unbounded domain F + alpha H needs one to have a maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .._params import Configuration

__all__ = ["NormalPrior", "Prior"]


class Prior(Protocol):
    """A density p0 on particles, known by its score."""

    def score(self, theta: Tensor) -> Tensor:
        r"""Return :math:`\nabla_\theta \log p_0(\theta)`, ``(*r, m, p)``."""
        ...


@dataclass
class NormalPrior(Configuration):
    """Independent normal prior on every coordinate of a particle.

    Parameters
    ----------
    loc, scale : float or Tensor (p,), default=0 and 1
        Mean and standard deviation, in the units of the particles.
    """

    loc: float | Tensor = 0.0
    scale: float | Tensor = 1.0

    def score(self, theta: Tensor) -> Tensor:
        r"""Return :math:`(\mathrm{loc} - \theta) / \mathrm{scale}^2`.

        Parameters
        ----------
        theta : Tensor ``(*r, m, p)``
            Particles.
        """
        return (self.loc - theta) / self.scale**2
