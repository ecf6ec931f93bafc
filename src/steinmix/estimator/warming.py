"""Warm-up of the prior terms of a bound: their weight rises to 1 while the reconstruction counts in full."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["WarmedUp"]


class WarmedUp:
    """Part of a module whose terms, all but the reconstruction, are divergences from priors and may be warmed up."""

    prior_weight = 1.0
    """Weight of the prior terms."""

    def warmed(self, name: str) -> float:
        """Return the present weight of the term `name`."""
        return 1.0 if name == "reconstruction" else self.prior_weight

    def warming(self, epochs: int, done: int = 0) -> Callable[[int], None]:
        """Return what a phase calls before each epoch: the weight reaches 1 after `epochs`, of which `done` are past.

        It is never 0, which would leave out gradients.
        """

        def before_epoch(epoch: int) -> None:
            self.prior_weight = min(1.0, (done + epoch + 1) / (epochs + 1))

        return before_epoch
