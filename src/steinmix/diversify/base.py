"""What a diversifier is, and the one that does nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .._params import Configuration
from ..errors import ConfigError

__all__ = ["Diversifier", "NoDiversity", "alpha_factor", "check_alpha"]


NUMBERS = (float, int, np.number)


@runtime_checkable
class Diversifier(Protocol):
    """Ascent direction in, ascent direction out. It never sees a loss and never negates."""

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        r"""Return the diversified ascent direction.

        Parameters
        ----------
        theta : Tensor (*r, m, p)
            Particles.
        ascent : Tensor (*r, m, p)
            :math:`\nabla_\Theta F(\Theta)`, the gradient of what is *maximised*.

        Returns
        -------
        Tensor (*r, m, p)
        """
        ...


@dataclass
class NoDiversity(Configuration):
    """The neutral element: returns the ascent direction untouched."""

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return `ascent`."""
        return ascent


def alpha_factor(alpha: float | Tensor, theta: Tensor) -> float | Tensor:
    """Return `alpha`, a number or a grid (*r,), ready to multiply (*r, m, p)."""
    if isinstance(alpha, NUMBERS):
        return alpha
    return torch.as_tensor(alpha, dtype=theta.dtype, device=theta.device)[..., None, None]


def check_alpha(alpha: float | Tensor, name: str = "alpha") -> None:
    """Raise ConfigError unless `alpha`, called `name`, is finite and not negative."""
    if isinstance(alpha, NUMBERS):  # every step asks, so no tensor is made for a plain number
        sound = 0 <= float(alpha) < math.inf
    elif torch.compiler.is_compiling():  # a compiled program cannot ask a tensor
        return
    else:
        values = torch.as_tensor(alpha)
        sound = bool((torch.isfinite(values) & (values >= 0)).all())
    if not sound:
        raise ConfigError(f"{name} is {alpha}; expected a finite number >= 0 (0 switches the repulsion off).")
