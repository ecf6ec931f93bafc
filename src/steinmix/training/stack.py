"""Restarts of a small model as one program: the parameters of R modules stacked along a leading axis.

Every restart keeps a module, a history and generators of its own, and gets in them, up to rounding, what it would get
alone. While a phase runs, the tensors of its module are **windows** into the stack, so that what looks at one restart
(a start of its mixture, diagnostics, callbacks) works as it always does. A restart that stops early or diverges leaves
the stack with its slice, and the others go on without paying for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DivergedError
from ..objective import Phase
from ..random import StackedStreams
from .callbacks import Callback
from .checkpoint import Checkpoint
from .config import Training
from .loader import StackedLoader
from .loop import RunState, build_optimizers, epoch_record
from .stepper import Logged, Stepper

__all__ = ["Restart", "Stack", "run_stack"]


class Stack:
    """One module that holds the parameters of several, and the ties between them.

    Parameters
    ----------
    module : nn.Module
        Of the same make as the others; its tensors are replaced by stacked ones.
    members : sequence of nn.Module

    Attributes
    ----------
    active : list of int
        The members that are in the stack, in its order.
    """

    def __init__(self, module: nn.Module, members: Sequence[nn.Module]) -> None:
        self.module, self.members = module, list(members)
        self.gather(range(len(members)))

    def gather(self, active: Sequence[int]) -> None:
        """Stack the tensors of the members `active` and make those windows."""
        self.active = list(active)
        for stacked, parts in self._tensors() if self.active else ():
            stacked.data = torch.stack([part.data for part in parts])
            _open(stacked, parts)

    def keep(self, active: Sequence[int], optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Let all members but `active` go with a copy of their slice; optimisers forget them too."""
        slices = torch.tensor([self.active.index(r) for r in active], dtype=torch.int64)
        for stacked, parts in self._tensors():
            for optimizer in optimizers:
                _slice_state(optimizer.state.get(stacked, {}), stacked.shape, slices)
            whole = stacked.data
            for part in parts:  # else a window would keep the old stack in memory
                part.data = part.data.clone()
            stacked.data = whole[slices.to(whole.device)]
            _open(stacked, [parts[i] for i in slices])
        self.active = list(active)

    def good(self) -> list[Tensor]:
        """Return a copy of the stack's tensors."""
        return [stacked.detach().clone() for stacked, _ in self._tensors()]

    def restore(self, good: Sequence[Tensor], member: int) -> None:
        """Put one member back to where `good` was taken."""
        position = self.active.index(member)
        for (_, parts), value in zip(self._tensors(), good):
            parts[position].data.copy_(value[position])

    def unsound(self) -> dict[int, str]:
        """Return the members with a parameter that is not finite, and its name."""
        found: dict[int, str] = {}
        for name, value in self.module.named_parameters():
            sound = torch.isfinite(value.detach()).reshape(len(value), -1).all(1)
            if not bool(sound.all()):
                found |= {r: name for r, fine in zip(self.active, sound.tolist()) if not fine and r not in found}
        return found

    def _tensors(self) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Yield each tensor of the stack with those of the active members."""
        every = [_named(self.members[r]) for r in self.active]
        for name, stacked in _named(self.module).items():
            yield stacked, [tensors[name] for tensors in every]


def _named(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())


def _open(stacked: Tensor, parts: Sequence[Tensor]) -> None:
    for part, window in zip(parts, stacked.data):
        part.data = window


def _slice_state(state: dict[str, Any], shape: torch.Size, slices: Tensor) -> None:
    for name, value in state.items():
        if isinstance(value, Tensor) and value.shape == shape:
            state[name] = value[slices.to(value.device)]


@dataclass
class Restart:
    """One restart of a stack.

    Attributes
    ----------
    state : RunState
        Its own module, phases (of which the hooks before a phase and before an epoch are called), streams and history.
    callbacks : sequence of Callback
    error : DivergedError, optional
        Why it was dropped; its module then holds the parameters of its last finite epoch.
    """

    state: RunState
    callbacks: Sequence[Callback]
    error: DivergedError | None = None


def run_stack(
    stack: Stack,
    phases: Sequence[Phase],
    restarts: Sequence[Restart],
    loader: StackedLoader,
    training: Training,
    streams: StackedStreams,
    lr: float,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Run the phases of several restarts over the data; each one's history and module are left in `restarts`.

    Parameters
    ----------
    stack : Stack
        Of the restarts' modules.
    phases : sequence of Phase
        Over the module of the stack; of these the objectives and the hook after a step are used.
    restarts : sequence of Restart
    loader, streams : StackedLoader, StackedStreams
        Over the members' own.
    training : Training
    lr : float
        Learning rate where neither `training` nor a parameter group names one.
    checkpoint : Checkpoint, optional
        Where the state of all is written after each epoch, and read from when the run resumes.

    Raises
    ------
    DivergedError
        If all restarts diverged: the first one's. Where some did, their `error` is set.
    """
    with checkpoint.guard() if checkpoint is not None else contextlib.nullcontext():
        _StackedRun(stack, phases, restarts, loader, training, streams, lr, checkpoint).run()


class _StackedRun:
    def __init__(
        self,
        stack: Stack,
        phases: Sequence[Phase],
        restarts: Sequence[Restart],
        loader: StackedLoader,
        training: Training,
        streams: StackedStreams,
        lr: float,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.stack, self.restarts, self.loader, self.streams = stack, restarts, loader, streams
        self.training, self.checkpoint = training, checkpoint
        self.lr = lr if training.lr is None else training.lr
        self.journal = RunState(nn.ModuleList(stack.members), phases, streams)  # of all restarts, for checkpoints

    def run(self) -> None:
        inside = self._resume()
        for restart in self.restarts:
            for callback in restart.callbacks:
                callback.on_run_start(restart.state)
        try:
            while self.journal.phase < len(self.journal.phases):
                self._phase(inside)
                self.journal.phase, self.journal.epoch, inside = self.journal.phase + 1, 0, False
        finally:
            for restart in self.restarts:
                for callback in restart.callbacks:
                    callback.on_run_end(restart.state)

    def _living(self) -> list[int]:
        living = [r for r, restart in enumerate(self.restarts) if restart.error is None]
        if not living:
            raise next(restart.error for restart in self.restarts if restart.error is not None)
        return living

    def _activate(self, active: Sequence[int]) -> None:
        self.loader.active = self.streams.active = list(active)

    def _build(self, phase: Phase) -> list[torch.optim.Optimizer]:
        return build_optimizers(phase, self.training, self.lr)

    def _phase(self, resumed: bool) -> None:
        journal, phase = self.journal, self.journal.current
        if not resumed:
            self._begin()
        one = self.stack.members[0]
        stepper = Stepper(self.stack.module, phase, journal.optimizers, self.training, self.loader.device, one)
        while journal.epoch < phase.epochs and self.stack.active:
            for r in self.stack.active:
                hook = self.restarts[r].state.current.before_epoch
                if hook is not None:
                    hook(journal.epoch)
            self._epoch(stepper)
        for r in self._living():
            hook = self.restarts[r].state.current.after
            if hook is not None:
                hook()

    def _begin(self) -> None:
        """Start a phase: the hooks of every living restart, then the stack, then its optimisers."""
        living = self._living()
        for r in living:
            state = self.restarts[r].state
            state.phase, state.epoch = self.journal.phase, 0
            hook = state.current.before
            if hook is not None:
                hook()
        self.stack.gather(living)
        self._activate(living)
        self.journal.optimizers = self._build(self.journal.current)

    def _epoch(self, stepper: Stepper) -> None:
        journal, good = self.journal, self.stack.good()
        taken, logged = list(self.stack.active), stepper.epoch(self.loader, journal.epoch)
        lost, stopped = self._lost(logged), []
        for i, r in enumerate(taken):
            try:
                stopped += [r] if r not in lost and self._record(r, logged, i) else []
            except DivergedError as error:
                lost[r] = error
                self.restarts[r].state.history.pop()
        for r, error in lost.items():
            self.stack.restore(good, r)
            self.restarts[r].error = error
        left = [r for r in taken if r not in lost and r not in stopped]
        journal.epoch += 1
        journal.history.append(self._entry(taken, left, lost))
        if left != taken:
            self.stack.keep(left, journal.optimizers)
            self._activate(left)
        if not left:
            journal.epoch = journal.current.epochs
        if self.checkpoint is not None:
            self.checkpoint.write(journal)

    def _lost(self, logged: Logged) -> dict[int, DivergedError]:
        """Return the restarts with a term or a parameter that is not finite."""
        unsound = self.stack.unsound()
        finite, lost = torch.isfinite(logged.values), {}
        for i, r in enumerate(self.stack.active):
            state = self.restarts[r].state
            if not bool(finite[..., i].all()):
                batch, column = (~finite[..., i]).nonzero()[0].tolist()
                step = state.step + batch // self.training.accumulate
                lost[r] = DivergedError(state.phase_name, step, logged.names[column])
            elif r in unsound:
                step = state.step + logged.steps - 1
                lost[r] = DivergedError(state.phase_name, step, f"gradient of {unsound[r]}")
        return lost

    def _record(self, r: int, logged: Logged, position: int) -> bool:
        """Write a restart's epoch into its history and ask its callbacks whether it is to stop."""
        state = self.restarts[r].state
        state.step += logged.steps
        state.history.append(epoch_record(state, logged.names, logged.values[..., position]))
        state.epoch += 1
        return any([bool(callback.on_epoch_end(state)) for callback in self.restarts[r].callbacks])

    def _entry(self, taken: list[int], left: list[int], lost: dict[int, DivergedError]) -> dict[str, Any]:
        """Return what a resumed run must know of this epoch beside tensors and generators."""
        records = {str(r): self.restarts[r].state.history[-1] for r in taken if r not in lost}
        errors = {str(r): [error.phase, error.step, error.term] for r, error in lost.items()}
        return {"phase": self.journal.phase, "left": left, "records": records, "lost": errors}

    def _resume(self) -> bool:
        """Go back to the newest checkpoint, if there is one."""
        journal = self.journal
        if self.checkpoint is None or not self.checkpoint.restore(journal, self._build):
            return False
        for entry in journal.history:
            for r, record in entry["records"].items():
                _relive(self.restarts[int(r)].state, entry["phase"], record)
            for r, error in entry["lost"].items():
                self.restarts[int(r)].error = DivergedError(*error)
        left = journal.history[-1]["left"]
        self.stack.gather(left)
        self._activate(left)
        return True


def _relive(state: RunState, phase: int, record: dict[str, Any]) -> None:
    state.history.append(record)
    state.phase, state.epoch, state.step = phase, record["epoch"] + 1, record["step"]
