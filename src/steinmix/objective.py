"""The theory in one small file: what is minimised, over what, when.

A method is a module that evaluates named **terms** on a batch, and a list of **phases**. A phase is a number of epochs
over one or more **objectives**. An objective is a scalar to minimise over a set of parameters with, optionally,
**particles** among them and a **diversifier** that acts on their gradient. One loop (`steinmix.training.run`) runs any
list of phases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .diversify.base import Diversifier, NoDiversity
from .errors import NoParticlesError
from .particles import Particles

__all__ = ["Batch", "Objective", "Phase", "Term"]


class Batch(NamedTuple):
    """Rows of the data and where they stand in it. There is no label field: labels cannot leak into training."""

    x: Tensor
    """Prepared rows, (b, f); of a batch that holds each distinct row once, those (u, f). Of a stack of restarts there
    is a leading axis r here and in the other fields."""
    index: Tensor
    """Their row numbers, (b,)."""
    inverse: Tensor | None = None
    """Where each row of the batch stands among the distinct ones, (b,); None where `x` holds them all."""

    def expand(self, values: Tensor) -> Tensor:
        """Return what was computed of the rows of `x`, (u, ...), for every row of the batch, (b, ...).

        Of stacked rows (r, u, f) values (r, u, ...) become (r, b, ...).
        """
        if self.inverse is None:
            return values
        if self.inverse.ndim == 1:
            return values.index_select(0, self.inverse)
        restart = torch.arange(len(self.inverse), device=self.inverse.device).unsqueeze(-1)
        flat = (self.inverse + restart * values.shape[1]).flatten()
        return values.flatten(0, 1).index_select(0, flat).unflatten(0, self.inverse.shape)


class Term(NamedTuple):
    """One summand of an objective, a mean over the rows of the batch; raw value and weight are both logged."""

    value: Tensor
    weight: float = 1.0


@dataclass
class Objective:
    """A scalar to *minimise*: the weighted sum of its terms.

    Parameters
    ----------
    terms : callable
        Batch -> mapping from name to Term. The part that depends on the particles is -F(Theta) as a mean over rows, so
        that alpha means what it means in the paper.
    params : sequence
        Parameters, or torch's parameter groups (``{"params": [...], "lr": ...}``). Only these receive gradients.
    particles : Particles, optional
        The parameters of m exchangeable components; they are among `params`.
    diversifier : Diversifier, optional
    optimizer : callable, optional
        ``params -> torch.optim.Optimizer``; by default the one of the training configuration.

    Raises
    ------
    NoParticlesError
        If a diversifier was asked for and there are no particles.
    """

    terms: Callable[[Batch], Mapping[str, Term]]
    params: Sequence[nn.Parameter] | Sequence[dict[str, Any]]
    particles: Particles | None = None
    diversifier: Diversifier | None = None
    optimizer: Callable[[Any], Optimizer] | None = None

    def __post_init__(self) -> None:
        if self.particles is None and not isinstance(self.diversifier, NoDiversity | None):
            raise NoParticlesError(
                f"the diversifier {type(self.diversifier).__name__} needs particles, the parameters of exchangeable "
                "components, and this objective has none; use diversifier=None."
            )

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters of all groups in one list."""
        groups = [p["params"] if isinstance(p, dict) else [p] for p in self.params]
        return [parameter for group in groups for parameter in group]


@dataclass
class Phase:
    """A number of epochs over objectives, which are stepped one after another on each batch.

    Parameters
    ----------
    name : str
    epochs : int
    objectives : sequence of Objective
    before : callable, optional
        Called once before the phase's optimisers are built (and not when a run resumes inside the phase).
    before_epoch : callable, optional
        Called with the number of the epoch in the phase, from 0.
    after_step : callable, optional
        Called after each optimiser step, for projections.
    schedule : callable, optional
        (epoch of the phase, its epochs) -> factor on the learning rate, in place of the training configuration's.
    goes_on : bool
        Step with the optimisers of the phase before, whose objectives have the same parameters. The first steps of a
        new Adam move every parameter by the whole rate, whatever the gradients: settled networks are thrown back.
        Stacked restarts do not know it: each of their phases has optimisers of its own.
    after : callable, optional
        Called once when the epochs are done, of the last phase with the averages of weights in place if there are some.
    """

    name: str
    epochs: int
    objectives: Sequence[Objective]
    before: Callable[[], None] | None = None
    before_epoch: Callable[[int], None] | None = None
    after_step: Callable[[], None] | None = None
    schedule: Callable[[int, int], float] | None = None
    goes_on: bool = False
    after: Callable[[], None] | None = None
