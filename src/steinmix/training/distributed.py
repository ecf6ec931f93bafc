"""Averaging over the processes of a distributed run."""

from __future__ import annotations

import os
from collections.abc import Iterable

from torch import nn

__all__ = ["average_gradients", "world_size"]


def world_size() -> int:
    """Return the number of processes that train together: 1 unless a launcher such as ``torchrun`` said more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def average_gradients(params: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in place; nothing to do for one process."""
    if world_size() == 1:
        return
    from accelerate.utils import reduce

    for parameter in params:
        if parameter.grad is not None:
            parameter.grad.copy_(reduce(parameter.grad, reduction="mean"))  # type: ignore[arg-type]
