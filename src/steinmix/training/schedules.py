"""Learning-rate schedules: objects that map an epoch of a phase to a factor on the learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from .._params import Configuration, check_at_least, check_share

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
    """Multiply by `rate` every `every` epochs, but never below `floor` of the start (VaDE's code: 10, 0.9, 0.1).

    Parameters
    ----------
    every : int, default=10
        Epochs between two decreases.
    rate : float, default=0.9
        Factor on the learning rate at each of them, from 0 to 1.
    floor : float, default=0.0
        Smallest factor, as a share of the first learning rate; 0 sets no limit.
    """

    every: int = 10
    rate: float = 0.9
    floor: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("every", self.every, 1)
        check_share("rate", self.rate)
        check_share("floor", self.floor)

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return max(floor, rate ** (epoch // every))."""
        return max(self.floor, self.rate ** (epoch // self.every))


@dataclass
class Cosine(Configuration):
    """Fall from 1 to `floor` along half a cosine.

    Parameters
    ----------
    floor : float, default=0.0
        Factor at the end of the phase, as a share of the first learning rate.
    """

    floor: float = 0.0

    def __post_init__(self) -> None:
        check_share("floor", self.floor)

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return the factor."""
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * epoch / max(epochs, 1)))


@dataclass
class Fade(Configuration):
    """Fall from 1 to 0 along a straight line until a share of the phase has passed, and stay there.

    Parameters
    ----------
    until : float, default=0.5
        Share of the phase's epochs, from 0 to 1, after which the factor is 0.
    """

    until: float = 0.5

    def __post_init__(self) -> None:
        check_share("until", self.until)

    def __call__(self, epoch: int, epochs: int) -> float:
        """Return max(0, 1 - epoch / (until * epochs))."""
        return max(0.0, 1 - epoch / max(self.until * epochs, 1))
