"""The loop over phases and epochs; what happens in a step is told in `stepper`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ..errors import DivergedError
from ..objective import Phase
from ..random import Streams
from .averaging import Average
from .callbacks import Callback
from .checkpoint import Checkpoint
from .config import Training
from .distributed import align_, any_process, connect
from .loader import Loader
from .stepper import Stepper

__all__ = ["RunState", "build_optimizers", "epoch_record", "run", "run_state"]


@dataclass
class RunState:
    """Where a run stands.

    Attributes
    ----------
    module : nn.Module
        What is trained.
    phases : sequence of Phase
        All of the run.
    streams : Streams
        Where chance comes from.
    phase : int
        Number of the current phase.
    epoch : int
        Finished epochs of the current phase.
    step : int
        Optimiser steps so far, over all phases.
    history : list of dict
        One record per finished epoch: phase, epoch, step, loss, the raw mean of each term.
    optimizers : list of Optimizer
        Those of the current phase.
    average : Average, optional
        Of the last phase, where one is kept.
    """

    module: nn.Module
    phases: Sequence[Phase]
    streams: Streams
    phase: int = 0
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    average: Average | None = None

    @property
    def current(self) -> Phase:
        """The current phase; after the run the last one."""
        return self.phases[self.phase]

    @property
    def phase_name(self) -> str:
        """Name of the current phase."""
        return self.current.name

    @property
    def epochs_done(self) -> int:
        """Finished epochs over all phases."""
        return len(self.history)


def run(
    module: nn.Module,
    phases: Sequence[Phase],
    loader: Loader,
    training: Training,
    streams: Streams,
    lr: float,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, Any]]:
    """Run the phases over the data and return the history, one record per epoch.

    Parameters
    ----------
    module : nn.Module
        Trained in place.
    phases : sequence of Phase
        Run one after another.
    loader : Loader
        Gives the batches.
    training : Training
        Optimiser, schedule, precision, device.
    streams : Streams
        Where chance comes from.
    lr : float
        Learning rate where neither `training` nor a parameter group names one.
    callbacks : sequence of Callback
        Called after each epoch.
    checkpoint : Checkpoint, optional
        Where the state is written after each epoch, and read from when the run resumes.

    Raises
    ------
    DivergedError
        If a term becomes NaN or infinite; the module then holds the parameters of the last finite epoch.
    Terminated
        If SIGTERM came while checkpoints were kept; the last finished epoch is in the newest one.
    """
    state = RunState(module, phases, streams)
    run_state(state, loader, training, lr, callbacks, checkpoint)
    return state.history


def run_state(
    state: RunState,
    loader: Loader,
    training: Training,
    lr: float,
    callbacks: Sequence[Callback],
    checkpoint: Checkpoint | None,
) -> None:
    """Run a state that the caller keeps: where the run diverges, it still holds the history up to there.

    Parameters
    ----------
    state : RunState
        Before its first epoch.
    loader, training, lr, callbacks, checkpoint
        As for `run`.
    """
    connect(loader.device)
    lr = lr if training.lr is None else training.lr
    with checkpoint.guard() if checkpoint is not None else contextlib.nullcontext():
        inside = checkpoint is not None and checkpoint.restore(state, lambda it: build_optimizers(it, training, lr))
        align_(state.module, state.streams)
        for callback in callbacks:
            callback.on_run_start(state)
        try:
            for number in range(state.phase, len(state.phases)):
                if not inside:
                    state.phase, state.epoch = number, 0
                _run_phase(state, loader, training, lr, callbacks, checkpoint, resumed=inside)
                _end_phase(state)
                inside = False
        finally:
            for callback in callbacks:
                callback.on_run_end(state)


def build_optimizers(phase: Phase, training: Training, lr: float) -> list[torch.optim.Optimizer]:
    """Return one optimiser for each objective of the phase."""
    return [
        objective.optimizer(objective.params) if objective.optimizer else training.build_optimizer(objective.params, lr)
        for objective in phase.objectives
    ]


def _run_phase(
    state: RunState,
    loader: Loader,
    training: Training,
    lr: float,
    callbacks: Sequence[Callback],
    checkpoint: Checkpoint | None,
    resumed: bool,
) -> None:
    phase = state.current
    if not resumed:
        if phase.before is not None:
            phase.before()
            align_(state.module, state.streams)
        if not phase.goes_on:
            state.optimizers = build_optimizers(phase, training, lr)
    if training.ema is not None and state.phase == len(state.phases) - 1:
        state.average = state.average or Average(state.module, training.ema)
        phase = state.average.follow(phase)
    stepper = Stepper(state.module, phase, state.optimizers, training, loader.device)
    while state.epoch < phase.epochs:
        if phase.before_epoch is not None:
            phase.before_epoch(state.epoch)
        good = _run_epoch(state, stepper, loader, training)
        state.epoch += 1
        try:
            stop = [bool(callback.on_epoch_end(state)) for callback in callbacks]
        except DivergedError:
            state.module.load_state_dict(good)
            state.history.pop()
            raise
        if any_process(any(stop)):
            state.epoch = phase.epochs
        if checkpoint is not None:
            checkpoint.write(state)


def _end_phase(state: RunState) -> None:
    if state.average is not None:
        state.average.give_()
    after = state.current.after
    if after is not None:
        after()
        align_(state.module, state.streams)


def _run_epoch(state: RunState, stepper: Stepper, loader: Loader, training: Training) -> dict[str, Tensor]:
    """Step through the data, refuse what is not finite, and append the epoch's means to the history.

    Returns what the module held before.
    """
    good = {name: value.detach().clone() for name, value in state.module.state_dict().items()}
    first_step, logged = state.step, stepper.epoch(loader, state.epoch)
    state.step += logged.steps
    finite = torch.isfinite(logged.values)
    if not bool(finite.all()):
        batch, column = (~finite).nonzero()[0].tolist()
        _diverged(state, good, first_step + batch // training.accumulate, logged.names[column])
    for name, value in state.module.named_parameters():
        if not bool(torch.isfinite(value).all()):  # the last step's gradient was not, though its loss was
            _diverged(state, good, state.step - 1, f"gradient of {name}")
    align_(state.module, state.streams)
    state.history.append(epoch_record(state, logged.names, logged.values))
    return good


def epoch_record(state: RunState, names: list[str], values: Tensor) -> dict[str, Any]:
    """Return the record of an epoch whose batches gave `values` (batches, names)."""
    means = values.double().mean(0).tolist()
    return {"phase": state.phase_name, "epoch": state.epoch, "step": state.step} | dict(zip(names, means))


def _diverged(state: RunState, good: dict[str, Tensor], step: int, term: str) -> NoReturn:
    state.module.load_state_dict(good)
    raise DivergedError(state.phase_name, step, term)
