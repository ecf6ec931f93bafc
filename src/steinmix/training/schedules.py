"""Learning-rate schedules: objects that map an epoch of a phase to a factor on the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from .._params import Configuration

__all__ = ["Constant", "Cosine", "Fade", "Schedule", "StepDecay"]


class Schedule(Protocol):
    """A factor on the learning rate."""

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return the factor for `epoch`, counted from 0, of a phase of `epochs`."""
        ...


@dataclass
class Constant(Configuration):
    """The learning rate as it is."""

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return 1."""
        return 1.0


@dataclass
class StepDecay(Configuration):
    """Multiply by `rate` every `every` epochs, but never below `floor` of the start (VaDE's: 0.9, 10, 0.1)."""

    every: int = 10
    rate: float = 0.9
    floor: float = 0.0

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return max(floor, rate ** (epoch // every))."""
        return max(self.floor, self.rate ** (epoch // self.every))


@dataclass
class Cosine(Configuration):
    """Fall from 1 to `floor` along half a cosine."""

    floor: float = 0.0

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return the factor."""
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * epoch / max(epochs, 1)))


@dataclass
class Fade(Configuration):
    """Fall from 1 to 0 along a straight line until a share of the phase has passed, and stay there."""

    until: float = 0.5

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return max(0, 1 - epoch / (until * epochs))."""
        return max(0.0, 1 - epoch / max(self.until * epochs, 1))
