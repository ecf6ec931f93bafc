"""The steps of one phase: the only code that steps an optimiser.

Order inside a step: terms -> backward, only into the objective's parameters -> average over ranks -> [last accumulated
batch] diversify -> clip -> optimiser step -> ``after_step``. Any torch optimiser sees the diversified direction as its
gradient. The host waits for the device once per epoch, when the terms of all its steps are read.

Of a stack of restarts each term is (r,) instead of a number: the sum over r is what backward sees, so that every
restart gets the gradient it would get alone, and gradients are clipped restart by restart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..diversify import Diversifier
from ..numerics.precision import onednn_products
from ..objective import Batch, Phase, Term
from ..particles import Particles
from .annealing import in_epoch
from .config import Training, is_large
from .distributed import add_gradients_, added, normalised_together, world_size
from .loader import Loader

__all__ = ["Logged", "Stepper", "clip_each_"]

GATHERED = 64
"""Batches whose terms are kept as they are, before they are put into one tensor."""


@dataclass
class Logged:
    """What the steps of an epoch gave.

    Attributes
    ----------
    names : list of str
        Of the terms in their order, the loss last.
    values : Tensor (batches, names) or (batches, names, r)
        On the host.
    steps : int
        Optimiser steps.
    """

    names: list[str]
    values: Tensor
    steps: int


class Stepper:
    """Steps the optimisers of a phase over batches.

    Parameters
    ----------
    module : nn.Module
        What is trained.
    phase : Phase
    optimizers : sequence of Optimizer
        One for each objective.
    training : Training
    device : torch.device
    member : nn.Module, optional
        One of the restarts that `module` stacks, whose parameters and terms then have a leading restart axis. Precision
        goes by its size, so that a restart is trained alike alone and in company.
    """

    def __init__(
        self,
        module: nn.Module,
        phase: Phase,
        optimizers: Sequence[torch.optim.Optimizer],
        training: Training,
        device: torch.device,
        member: nn.Module | None = None,
    ) -> None:
        self.phase, self.training, self.stacked = phase, training, member is not None
        self._module = module
        self._parts = [(o, optimizer, o.parameters()) for o, optimizer in zip(phase.objectives, optimizers)]
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        self._rates = [(group, group.get("base_lr", group["lr"])) for group in groups]
        self._only = [_targets(module, params) for _, _, params in self._parts]
        single = module if member is None else member
        dtype = training.autocast_dtype(single, device)
        self._autocast = torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()
        routed = dtype is None and device.type == "cpu" and is_large(single)
        self._products = onednn_products if routed else contextlib.nullcontext

    def epoch(self, loader: Loader, number: int) -> Logged:
        """Take every batch of the epoch `number` of the phase, counted from 0."""
        self._begin(number)
        with self._products(), normalised_together(self._module, lambda: loader.share):
            return self._epoch(loader)

    def _begin(self, epoch: int) -> None:
        """Set the rates and take the diversifiers of an epoch."""
        schedule, epochs = self.phase.schedule or self.training.schedule, self.phase.epochs
        factor = schedule(epoch, epochs)
        for group, rate in self._rates:  # what schedules act on stays in the group, where a resumed run finds it
            group["base_lr"], group["lr"] = rate, rate * factor
        self._diversifiers = [in_epoch(o.diversifier, epoch, epochs) for o in self.phase.objectives]

    def _epoch(self, loader: Loader) -> Logged:
        log, weights = _Log(), []
        accumulate, after, steps = self.training.accumulate, self.phase.after_step, 0
        for number, batch in enumerate(loader.epoch()):
            group = min(accumulate, loader.steps_per_epoch - number // accumulate * accumulate)
            last = number % accumulate == group - 1
            weights.append(loader.share.weight if loader.share else 1.0)
            log.add(self._batch(batch, weights[-1] / group, last))
            steps += last
            if last and after is not None:
                after()
        return log.read(weights, steps)

    def _batch(self, batch: Batch, weight: float, last: bool) -> dict[str, Tensor]:
        values: dict[str, Tensor] = {}
        for (objective, optimizer, params), only, diversifier in zip(self._parts, self._only, self._diversifiers):
            with self._autocast:
                terms = objective.terms(batch)
            torch.clear_autocast_cache()  # torch keeps weights in bf16 up to the end of the outermost autocast
            loss = _weighted(terms, batch)
            if loss.requires_grad:
                total = loss.sum() if loss.ndim else loss
                (total * weight if weight != 1 else total).backward(inputs=only)
            for name, term in terms.items():
                values[name] = term.value.detach()
            values["loss"] = loss.detach() + values["loss"] if "loss" in values else loss.detach()
            if last:
                self._step(objective.particles, diversifier, optimizer, params)
        return values

    def _step(
        self,
        particles: Particles | None,
        diversifier: Diversifier | None,
        optimizer: torch.optim.Optimizer,
        params: list[nn.Parameter],
    ) -> None:
        add_gradients_(params)
        if particles is not None and diversifier is not None:
            particles.diversify_(diversifier)
        if self.training.clip_norm is not None:
            clip = clip_each_ if self.stacked else nn.utils.clip_grad_norm_
            clip(params, self.training.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _weighted(terms: Mapping[str, Term], batch: Batch) -> Tensor:
    """Return the weighted sum; a term of weight 0 is logged and left out, so that its gradient is not even formed."""
    parts = [value if weight == 1 else value * weight for value, weight in terms.values() if weight]
    return sum(parts[1:], parts[0]) if parts else torch.zeros((), device=batch.x.device)


def _targets(module: nn.Module, params: list[nn.Parameter]) -> list[nn.Parameter] | None:
    """Return the parameters that may get gradients; None if those are all of the module, as saying so costs 15 us."""
    trained = [p for p in params if p.requires_grad]
    every = {id(p) for p in module.parameters() if p.requires_grad}
    return None if every <= {id(p) for p in trained} else trained


@torch.no_grad()
def clip_each_(params: Iterable[nn.Parameter], max_norm: float) -> None:
    """Scale the gradients of stacked parameters (r, ...) so that no restart's whole gradient is longer than that."""
    gradients = [p.grad for p in params if p.grad is not None]
    if not gradients:
        return
    norms = torch.stack([g.reshape(len(g), -1).norm(dim=1) for g in gradients]).norm(dim=0)
    factor = (max_norm / (norms + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))


class _Log:
    """The terms of all batches of an epoch, on the device.

    Single numbers that live on between the large tensors of each step keep the allocator from joining what is freed
    (20 KB a step, in the trial of a million rows), so they are gathered now and then.
    """

    def __init__(self) -> None:
        self._parts: list[Tensor] = []
        self._recent: list[dict[str, Tensor]] = []
        self._names: list[str] = []

    def add(self, values: dict[str, Tensor]) -> None:
        self._recent.append(values)
        if len(self._recent) == GATHERED:
            self._gather()

    def _gather(self) -> None:
        self._names = self._names or sorted(self._recent[0], key="loss".__eq__)  # in their order, the loss last
        flat = torch.stack([values[name].float() for values in self._recent for name in self._names])
        self._parts.append(flat.unflatten(0, (len(self._recent), len(self._names))))
        self._recent.clear()

    def read(self, weights: list[float], steps: int) -> Logged:
        """Bring the values of all batches to the host at once; of a distributed run those of the global batches."""
        if self._recent:
            self._gather()
        table = torch.cat(self._parts).cpu()
        if world_size() > 1:
            table = added(table * torch.tensor(weights, dtype=table.dtype).view(-1, *[1] * (table.ndim - 1)))
        return Logged(self._names, table, steps)
