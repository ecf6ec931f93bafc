"""What a detector's module does, and several trained ones that score as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..metrics.anomaly import score_units

__all__ = ["Consensus", "DetectorModule"]


class DetectorModule(Protocol):
    """What the shell asks of a method's module."""

    def embed(self, x: Tensor) -> Tensor:
        """Return the points (b, d) that are scored, for prepared rows (b, f)."""
        ...

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return prepared rows (b, f) as their points tell them."""
        ...

    def score(self, x: Tensor) -> Tensor:
        """Return how normal prepared rows are, (b,)."""
        ...

    def groups(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return responsibilities (b, m) and means (m, d), for diagnostics."""
        ...

    def settle_(self, rows: Iterable[Tensor]) -> None:
        """Take from all prepared rows, given in chunks as often as one asks, what scoring needs of them."""
        ...


class Consensus(nn.Module):
    """Detectors of one kind whose score is the mean of theirs, each in its own units (`metrics.consensus_scores`).

    Rows are rebuilt as the mean of what the detectors make of them. Points and groups are those of one detector, for
    means and partitions of several have no common axes.

    Parameters
    ----------
    members : sequence of nn.Module
        As `DetectorModule` has them.
    chosen : int
        The one whose points and groups are given back.
    """

    middles: Tensor
    reaches: Tensor

    def __init__(self, members: Sequence[nn.Module], chosen: int) -> None:
        super().__init__()
        self.members, self.chosen = nn.ModuleList(members), chosen
        self.register_buffer("middles", torch.zeros(len(members), dtype=torch.float64))
        self.register_buffer("reaches", torch.ones(len(members), dtype=torch.float64))

    def _detectors(self) -> Sequence[DetectorModule]:
        return cast(Sequence[DetectorModule], self.members)

    def embed(self, x: Tensor) -> Tensor:
        return self._detectors()[self.chosen].embed(x)

    def groups(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self._detectors()[self.chosen].groups(x)

    def reconstruct(self, x: Tensor) -> Tensor:
        return torch.stack([member.reconstruct(x) for member in self._detectors()]).mean(0)

    def each(self, x: Tensor) -> Tensor:
        """Return the members' scores, (b, r)."""
        return torch.stack([member.score(x).double() for member in self._detectors()], dim=-1)

    def score(self, x: Tensor) -> Tensor:
        return ((self.each(x) - self.middles) / self.reaches).mean(-1)

    def settle_(self, rows: Iterable[Tensor]) -> None:
        for member in self._detectors():
            member.settle_(rows)

    def measure_(self, scores: np.ndarray) -> np.ndarray:
        """Take the units from the members' scores (n, r) of the training rows; return which members have none, (r,).

        A member that gives one score to most rows cannot be compared with others; it has no part in the mean.
        """
        middles, highs = score_units(-scores.T)
        flat = ~(highs > middles)
        self.middles.copy_(torch.from_numpy(-middles))
        self.reaches.copy_(torch.from_numpy(np.where(flat, np.inf, highs - middles)))
        return flat
