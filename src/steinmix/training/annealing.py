"""A diversifier whose strength follows a schedule over the epochs of the phase it acts in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from .._params import Configuration
from ..diversify import NSVGD, Diversifier, NoDiversity
from ..errors import ConfigError
from .schedules import Fade, Schedule

__all__ = ["Annealed", "in_epoch"]


@dataclass
class Annealed(Configuration):
    """Another diversifier, whose alpha a schedule multiplies in each epoch.

    Repulsion spreads the components early, and is gone when they settle. In a loop of your own,
    ``theta.diversify_(annealed.at(epoch, epochs))``.

    Parameters
    ----------
    diversifier : Diversifier, default=NSVGD()
        One with an ``alpha``; it is not changed.
    schedule : Schedule, default=Fade()
        (epoch of the phase, its epochs) -> factor on alpha.
    polish : bool, default=True
        Whether the plain gradient is followed where the factor is 0. If not, NSVGD goes on smoothing gradients over
        the components, which holds them together.

    Raises
    ------
    ConfigError
        If the diversifier has no ``alpha``.
    """

    diversifier: Diversifier = field(default_factory=NSVGD)
    schedule: Schedule = field(default_factory=Fade)
    polish: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.schedule, type) or not callable(self.schedule):
            raise ConfigError(f"schedule is {self.schedule!r}; expected an object such as Fade().")
        self.at(0, 1)  # what cannot work is told now, not after a pretraining

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return the direction ``(*r, m, p)`` at full strength."""
        return self.diversifier(theta, ascent)

    def at(self, epoch: int, epochs: int) -> Diversifier:
        """Return the diversifier of `epoch`, counted from 0, of a phase of `epochs`."""
        inner: Any = self.diversifier
        if not hasattr(inner, "alpha"):
            raise ConfigError(f"Annealed got a {type(inner).__name__}; expected a diversifier with an alpha, as NSVGD.")
        factor = self.schedule(epoch, epochs)
        return NoDiversity() if self.polish and not factor else replace(inner, alpha=factor * inner.alpha)


def in_epoch(diversifier: Diversifier | None, epoch: int, epochs: int) -> Diversifier | None:
    """Return the diversifier that acts in an epoch, counted from 0: of most the same one in all."""
    return diversifier.at(epoch, epochs) if isinstance(diversifier, Annealed) else diversifier
