"""What a diversifier is, and the one that does nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from .._params import Configuration
from ..errors import ConfigError

__all__ = ["Diversifier", "NoDiversity", "alpha_factor", "check_alpha", "check_given", "check_part", "is_sound"]


NUMBERS = (float, int, np.number)

EXAMPLES = {"kernel": "RBF()", "prior": "NormalPrior() or None"}


@runtime_checkable
class Diversifier(Protocol):
    """Ascent direction in, ascent direction out. It never sees a loss and never negates."""

    def __call__(self, theta: Tensor, ascent: Tensor, /) -> Tensor:
        r"""Return the diversified ascent direction.

        Parameters
        ----------
        theta : Tensor ``(*r, m, p)``
            Particles.
        ascent : Tensor ``(*r, m, p)``
            :math:`\nabla_\Theta F(\Theta)`, the gradient of what is *maximised*.

        Returns
        -------
        Tensor ``(*r, m, p)``
        """
        ...


@dataclass
class NoDiversity(Configuration):
    """The neutral element: returns the ascent direction untouched."""

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return `ascent`."""
        return ascent


def alpha_factor(alpha: float | Tensor, theta: Tensor) -> float | Tensor:
    """Return `alpha`, a number or a grid ``(*r,)``, ready to multiply ``(*r, m, p)``.

    Raises
    ------
    ConfigError
        If a grid does not fit the leading dimensions.
    """
    if isinstance(alpha, NUMBERS):
        return alpha
    grid, leading = torch.as_tensor(alpha, dtype=theta.dtype, device=theta.device), theta.shape[:-2]
    if grid.ndim > len(leading) or any(a not in (1, r) for a, r in zip(grid.shape[::-1], leading[::-1])):
        raise ConfigError(
            f"the strength is of shape {tuple(grid.shape)} for particles of {tuple(theta.shape)}; expected a number, "
            f"or one for each leading index, {tuple(leading)}."
        )
    return grid[..., None, None]


def check_alpha(alpha: float | Tensor, name: str = "alpha") -> None:
    """Raise ConfigError unless `alpha`, called `name`, is finite and not negative."""
    if isinstance(alpha, NUMBERS):  # every step asks, so no tensor is made for a plain number
        sound = 0 <= float(alpha) < math.inf
    elif torch.compiler.is_compiling():  # a compiled program cannot ask a tensor
        return
    else:
        sound = is_sound(alpha)
    if not sound:
        raise ConfigError(f"{name} is {alpha!r}; expected a finite number >= 0 (0 switches the repulsion off).")


def is_sound(value: Any, positive: bool = False, signed: bool = False) -> bool:
    """Whether a number or array is finite and not negative, or, if that is asked, positive or of any sign."""
    try:
        native = value.astype(value.dtype.newbyteorder("=")) if isinstance(value, np.ndarray) else value
        values = torch.as_tensor(native)
        allowed = (values > 0) if positive else (values >= 0) | signed
        return bool((torch.isfinite(values) & allowed).all())
    except (TypeError, ValueError, RuntimeError):  # a text, None, a ragged list, complex numbers
        return False


def check_given(theta: Tensor, ascent: Tensor) -> tuple[Tensor, Tensor]:
    """Return particles and ascent, detached, as a direction has no gradient of its own.

    Raises
    ------
    ConfigError
        Unless they are of one shape ``(*r, m, p)``, with a particle or more, and of one floating-point type. An ascent
        of (m, 1) or (p,) would be spread over all coordinates or particles without a word.
    """
    if not (isinstance(theta, Tensor) and isinstance(ascent, Tensor)):
        raise ConfigError(
            f"theta is a {type(theta).__name__} and ascent a {type(ascent).__name__}; expected two tensors (..., m, p)."
        )
    alike = theta.shape == ascent.shape and theta.dtype == ascent.dtype
    if not alike or theta.ndim < 2 or not theta.shape[-2] or not theta.is_floating_point():
        raise ConfigError(
            f"theta is {theta.dtype} of shape {tuple(theta.shape)} and ascent {ascent.dtype} of "
            f"{tuple(ascent.shape)}; expected both of one shape (..., m, p), m >= 1, and one floating-point type."
        )
    return theta.detach(), ascent.detach()


def check_part(name: str, value: Any, method: str) -> None:
    """Raise ConfigError unless `value`, called `name`, is an object with `method`."""
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise ConfigError(f"{name} is {value!r}; expected an object such as {EXAMPLES[name]}.")
