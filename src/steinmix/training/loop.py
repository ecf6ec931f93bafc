"""The loop: the only code that steps an optimiser.

Order inside a step: terms -> backward, only into the objective's parameters -> average over ranks -> [last accumulated
batch] diversify -> clip -> optimiser step -> ``after_step``. Any torch optimiser sees the diversified direction as its
gradient. The host waits for the device once per epoch, when the terms of all its steps are read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ..errors import DivergedError
from ..objective import Batch, Objective, Phase
from ..random import Streams
from .callbacks import Callback
from .checkpoint import Checkpoint
from .config import Training
from .distributed import average_gradients
from .loader import Loader

__all__ = ["RunState", "run"]


@dataclass
class RunState:
    """Where a run stands.

    Attributes
    ----------
    module : nn.Module
    phases : sequence of Phase
    streams : Streams
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
    """

    module: nn.Module
    phases: Sequence[Phase]
    streams: Streams
    phase: int = 0
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)

    @property
    def phase_name(self) -> str:
        """Name of the current phase."""
        return self.phases[self.phase].name

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
    loader : Loader
    training : Training
    streams : Streams
    lr : float
        Learning rate where neither `training` nor a parameter group names one.
    callbacks : sequence of Callback
    checkpoint : Checkpoint, optional
        Where the state is written after each epoch, and read from when the run resumes.

    Raises
    ------
    DivergedError
        If a term becomes NaN or infinite; the module then holds the parameters of the last finite epoch.
    """
    state = RunState(module, phases, streams)
    lr = lr if training.lr is None else training.lr
    inside = checkpoint is not None and checkpoint.restore(state, lambda phase: _optimizers(phase, training, lr))
    for callback in callbacks:
        callback.on_run_start(state)
    try:
        while state.phase < len(phases):
            _run_phase(state, loader, training, lr, callbacks, checkpoint, resumed=inside)
            state.phase, state.epoch, inside = state.phase + 1, 0, False
    finally:
        for callback in callbacks:
            callback.on_run_end(state)
    return state.history


def _optimizers(phase: Phase, training: Training, lr: float) -> list[torch.optim.Optimizer]:
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
    phase = state.phases[state.phase]
    if not resumed:
        if phase.before is not None:
            phase.before()
        state.optimizers = _optimizers(phase, training, lr)
    bases = [[group.get("base_lr", group["lr"]) for group in optimizer.param_groups] for optimizer in state.optimizers]
    while state.epoch < phase.epochs:
        if phase.before_epoch is not None:
            phase.before_epoch(state.epoch)
        _set_rates(state.optimizers, bases, training.schedule(state.epoch, phase.epochs))
        _run_epoch(state, phase, loader, training)
        state.epoch += 1
        stop = [bool(callback.on_epoch_end(state)) for callback in callbacks]
        if any(stop):
            state.epoch = phase.epochs
        if checkpoint is not None:
            checkpoint.write(state)


def _set_rates(optimizers: list[torch.optim.Optimizer], bases: list[list[float]], factor: float) -> None:
    """Set each group's rate from its base rate, which is kept in the group so that a resumed run finds it."""
    for optimizer, rates in zip(optimizers, bases):
        for group, base in zip(optimizer.param_groups, rates):
            group["base_lr"], group["lr"] = base, base * factor


def _run_epoch(state: RunState, phase: Phase, loader: Loader, training: Training) -> None:
    good = {name: value.detach().clone() for name, value in state.module.state_dict().items()}
    first_step, logged = state.step, []
    dtype = training.autocast_dtype(state.module, loader.device)
    autocast = torch.autocast(loader.device.type, dtype) if dtype else contextlib.nullcontext()
    for number, batch in enumerate(loader.epoch()):
        group = min(training.accumulate, loader.steps_per_epoch - number // training.accumulate * training.accumulate)
        last = number % training.accumulate == group - 1
        values: dict[str, Tensor] = {"loss": torch.zeros((), device=loader.device)}
        for objective, optimizer in zip(phase.objectives, state.optimizers):
            loss, terms = _backward(objective, batch, group, autocast)
            values |= terms | {"loss": values["loss"] + loss}
            if last:
                _step(objective, optimizer, training)
        logged.append(values)
        state.step += last
        if last and phase.after_step is not None:
            phase.after_step()
    _record(state, logged, first_step, good, training.accumulate)


def _backward(objective: Objective, batch: Batch, group: int, autocast: Any) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the gradient of the weighted sum of terms, over the batches of a step, to the objective's parameters."""
    with autocast:
        terms = objective.terms(batch)
    loss = sum((term.value * term.weight for term in terms.values() if term.weight), torch.zeros(()).to(batch.x))
    params = [p for p in objective.parameters() if p.requires_grad]
    if loss.requires_grad:
        (loss / group if group > 1 else loss).backward(inputs=params)
    return loss.detach(), {name: term.value.detach() for name, term in terms.items()}


def _step(objective: Objective, optimizer: torch.optim.Optimizer, training: Training) -> None:
    params = objective.parameters()
    average_gradients(params)
    if objective.particles is not None and objective.diversifier is not None:
        objective.particles.diversify_(objective.diversifier)
    if training.clip_norm is not None:
        nn.utils.clip_grad_norm_(params, training.clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _record(
    state: RunState, logged: list[dict[str, Tensor]], first_step: int, good: dict[str, Tensor], accumulate: int
) -> None:
    """Read the terms of all steps at once, refuse what is not finite, and append the epoch's means."""
    names = sorted(logged[0], key="loss".__eq__)  # in their order, the loss last
    table = torch.stack([torch.stack([values[name].float() for name in names]) for values in logged]).cpu()
    finite = torch.isfinite(table)
    if not bool(finite.all()):
        step, column = (~finite).nonzero()[0].tolist()
        _diverged(state, good, first_step + step // accumulate, names[column])
    for name, value in state.module.named_parameters():
        if not bool(torch.isfinite(value).all()):  # the last step's gradient was not, though its loss was
            _diverged(state, good, state.step - 1, f"gradient of {name}")
    means = table.double().mean(0).tolist()
    record = {"phase": state.phase_name, "epoch": state.epoch, "step": state.step}
    state.history.append(record | dict(zip(names, means)))


def _diverged(state: RunState, good: dict[str, Tensor], step: int, term: str) -> NoReturn:
    state.module.load_state_dict(good)
    raise DivergedError(state.phase_name, step, term)
