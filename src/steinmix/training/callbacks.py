"""What may watch a run, or end a phase of it, after each epoch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._params import Configuration, check_at_least
from ..errors import DivergedError
from .distributed import is_main

if TYPE_CHECKING:
    from .loop import RunState

__all__ = ["Callback", "Diagnose", "EarlyStopping", "Progress"]


class Callback:
    """Base of callbacks; each method may be left out. The state is for reading only.

    One that ends phases decides what the result is: it tells its settings by `fingerprint`, so that no run is resumed
    under another rule. One that only watches leaves `fingerprint` alone.
    """

    def fingerprint(self) -> dict[str, Any] | None:
        """Return the settings that decide when a phase ends, as plain values; None for a watcher."""
        return None

    def on_run_start(self, state: RunState) -> None:
        """Called once, before the first epoch of the run or of its resumption."""

    def on_epoch_end(self, state: RunState) -> bool | None:
        """Called after every epoch; a true answer ends the phase.

        With a DivergedError it says that the epoch has spoilt the model, which then goes back to the one before.
        """

    def on_run_end(self, state: RunState) -> None:
        """Called once at the end, also after an error."""


class Progress(Callback):
    """A progress bar over the epochs of all phases, on standard error.

    Parameters
    ----------
    show : bool, optional
        None shows it on a terminal only.
    """

    def __init__(self, show: bool | None = None) -> None:
        self.show = show

    def on_run_start(self, state: RunState) -> None:
        """Open the bar."""
        from tqdm import tqdm

        hidden = not is_main() or not (sys.stderr.isatty() if self.show is None else self.show)
        total = sum(phase.epochs for phase in state.phases)
        self._bar = tqdm(total=total, initial=state.epochs_done, unit="epoch", disable=hidden, leave=False)

    def on_epoch_end(self, state: RunState) -> None:
        """Advance by one epoch and show the phase and its loss."""
        self._bar.set_description(state.phase_name)
        self._bar.set_postfix(loss=f"{state.history[-1]['loss']:.4g}", refresh=False)
        self._bar.update(1)

    def on_run_end(self, state: RunState) -> None:
        """Close the bar."""
        self._bar.close()


@dataclass
class EarlyStopping(Configuration, Callback):
    """End a phase whose loss has not fallen by more than `tol`, relatively, for `patience` epochs.

    Parameters
    ----------
    patience : int, default=10
        Epochs without such a fall after which the phase ends.
    tol : float, default=1e-4
        Share of the loss by which it must have fallen.
    """

    patience: int = 10
    tol: float = 1e-4

    def __post_init__(self) -> None:
        check_at_least("patience", self.patience, 1)
        check_at_least("tol", self.tol, 0.0)

    def fingerprint(self) -> dict[str, Any]:
        """Return its name and settings."""
        return {"rule": type(self).__name__, **self.get_params(deep=False)}

    def on_epoch_end(self, state: RunState) -> bool:
        """Look at the losses of the current phase."""
        losses = [r["loss"] for r in state.history if r["phase"] == state.phase_name]
        if len(losses) <= self.patience:
            return False
        before, since = min(losses[: -self.patience]), min(losses[-self.patience :])
        return since >= before - self.tol * abs(before)


class Diagnose(Callback):
    """Add the figures of a function to each epoch's record, in the phases named.

    Parameters
    ----------
    figures : callable
        () -> mapping of plain values. A FloatingPointError says that there are none: the run has diverged.
    phases : collection of str
        Names of the phases; others are not looked at.
    """

    def __init__(self, figures: Callable[[], Mapping[str, Any]], phases: tuple[str, ...]) -> None:
        self.figures, self.phases = figures, phases

    def on_epoch_end(self, state: RunState) -> None:
        """Measure."""
        if state.phase_name in self.phases:
            try:
                state.history[-1]["diagnostics"] = dict(self.figures())
            except FloatingPointError as error:  # the losses were of the weights before the last step
                raise DivergedError(state.phase_name, state.step - 1, str(error)) from error
