"""What one fit, and each restart of it, works with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .._typing import Source
from ..data.prepare import Scaling
from ..objective import Phase
from ..random import Streams
from ..training import Callback, Loader, Training
from .preparation import Preparation

__all__ = ["FitContext", "Job", "Launch", "epochs_for_steps"]

FEWEST_STEPS = 500
"""Steps of a phase however few the rows: after 60 Adam steps on 180 rows the networks had hardly moved, codes and
mixture did not yet agree, and the free phase merged well separated groups on half of the seeds."""


@dataclass(frozen=True)
class FitContext:
    """What a method may use to build its phases.

    Attributes
    ----------
    loader : Loader
        Gives the rows.
    streams : Streams
        Where chance comes from.
    training : Training
        The user's settings.
    plan : dict
        What `_plan` decided.
    """

    loader: Loader
    streams: Streams
    training: Training
    plan: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Epochs of the main phase: the user's, else the plan's."""
        return self.plan["epochs"] if self.training.epochs is None else self.training.epochs

    @property
    def pretraining_epochs(self) -> int:
        """Epochs of pretraining where its settings leave them open: the user's of the main phase, else the plan's."""
        return self.plan["pretraining_epochs"] if self.training.epochs is None else self.training.epochs


@dataclass(frozen=True)
class Job:
    """What all restarts of a fit share; it can be sent to other processes.

    Attributes
    ----------
    source : Source
    scaling : Scaling
    plan : dict
    training : Training
    checksum : int
        Of the values of `source` in their order.
    """

    source: Source
    scaling: Scaling
    plan: dict[str, Any]
    training: Training
    checksum: int

    @property
    def device(self) -> torch.device:
        """Where to train."""
        return self.training.torch_device()

    def description(self) -> dict[str, Any]:
        """Return what names the rows and, as they come in another order then, whether they are read in blocks.

        A file's path is left out: one file has several, and may be moved.
        """
        found = {**self.source.describe(), "path": None, "checksum": self.checksum}
        return found if self.source.random_access else found | {"read": "in blocks, by training.resident_bytes"}

    def preparation(self) -> Preparation:
        """Return what turns raw rows into prepared ones."""
        return Preparation(self.scaling).to(self.device)

    def loader(self, streams: Streams) -> Loader:
        """Return a loader over the rows, in the order of `streams`."""
        return Loader(
            self.source,
            self.preparation(),
            self.training.batch_size,
            self.device,
            streams,
            self.training.resident_bytes,
            self.training.distinct_rows,
        )


@dataclass(frozen=True)
class Launch:
    """One restart, ready to run.

    Attributes
    ----------
    module : nn.Module
    context : FitContext
    callbacks : sequence of Callback
        The method's own and the user's.
    phases : list of Phase
    """

    module: nn.Module
    context: FitContext
    callbacks: Sequence[Callback]
    phases: list[Phase]


def epochs_for_steps(steps: int, n_rows: int, most: int) -> int:
    """Return the epochs of about `steps` steps on `n_rows` rows: at most `most`, or what makes `FEWEST_STEPS`.

    Steps are of 256 rows, `Training`'s own number; with another one a method takes as many epochs.

    Parameters
    ----------
    steps : int
        Steps that are wanted.
    n_rows : int
        Rows of the data.
    most : int
        Epochs at most.
    """
    steps_per_epoch = max(1, n_rows / Training.batch_size)
    return max(1, min(most, round(steps / steps_per_epoch)), math.ceil(FEWEST_STEPS / steps_per_epoch))
