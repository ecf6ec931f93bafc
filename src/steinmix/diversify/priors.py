"""Priors on particles: on an unbounded domain F + alpha H needs one to have a maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .._params import Configuration
from ..errors import ConfigError
from .base import NUMBERS, is_sound

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
    loc, scale : float, Tensor (p,) or ndarray (p,), default=0 and 1
        Mean and standard deviation, in the units of the particles; of any type and on any device. With leading axes
        of the particles, ``(*r, 1, p)``, each run has its own.

    Raises
    ------
    ConfigError
        If a number is not finite, a scale is not positive, or an array does not fit the particles.
    """

    loc: float | Tensor | np.ndarray = 0.0
    scale: float | Tensor | np.ndarray = 1.0

    def __post_init__(self) -> None:
        if not is_sound(self.loc, signed=True):
            raise ConfigError(f"loc is {self.loc!r}; expected finite numbers.")
        if not is_sound(self.scale, positive=True):
            raise ConfigError(f"scale is {self.scale!r}; expected finite numbers > 0.")

    def score(self, theta: Tensor) -> Tensor:
        r"""Return :math:`(\mathrm{loc} - \theta) / \mathrm{scale}^2`.

        Parameters
        ----------
        theta : Tensor ``(*r, m, p)``
            Particles.
        """
        loc, scale = (_beside(theta, name, getattr(self, name)) for name in ("loc", "scale"))
        return (loc - theta) / scale**2


def _beside(theta: Tensor, name: str, value: float | Tensor | np.ndarray) -> float | Tensor:
    """Return a number as it is, and an array as a tensor like `theta`."""
    if isinstance(value, NUMBERS):
        return value
    array = value if isinstance(value, Tensor) else torch.from_numpy(np.asarray(value, dtype=np.float64))
    fits = all(n in (1, k) for n, k in zip(array.shape[::-1], theta.shape[::-1])) and array.ndim <= theta.ndim
    if not fits or array.shape[-2:-1] not in ((), (1,)):  # particles share their prior
        raise ConfigError(
            f"{name} is of shape {tuple(array.shape)} for particles of {tuple(theta.shape)}; expected a number, or one "
            f"for each coordinate, ({theta.shape[-1]},)."
        )
    return array.to(theta)
