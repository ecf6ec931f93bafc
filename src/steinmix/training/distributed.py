"""The processes of a distributed run, started by ``torchrun`` or ``accelerate launch``; the only file that knows them.

Every process goes through the same program with the same random streams. Of each global batch it takes its share of the
rows, and of the noise drawn for the global batch that of these rows; gradients are added up, each share weighted by its
rows, before the diversifier acts; batch norms see the moments of the global batch. So all processes step alike, and one
process with the same global batch steps alike up to rounding. What could differ between machines (the seed of
``random_state=None``, a start by k-means, the parameters after an epoch) is taken from the first process.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn

from ..errors import DistributedError, SteinmixError
from ..nn.batch_norm import BatchNorm
from ..random import Streams

__all__ = [
    "Share",
    "add_gradients_",
    "added",
    "align_",
    "alone",
    "any_process",
    "batch_mean",
    "check_same_rows",
    "connect",
    "from_main",
    "is_main",
    "local_rank",
    "log_shares",
    "normalised_together",
    "rank",
    "share_of",
    "world_size",
]

TIMEOUT = 600.0
"""Seconds to wait for another process, unless the environment variable STEINMIX_TIMEOUT says otherwise."""

PARTING = 0.3
"""Seconds left to the group's threads at the end of a process: to let go of their last tensors they need Python's lock,
and where Python is gone by then the process aborts. Without them that was one run of two processes in ten."""

T = TypeVar("T")


class Share(NamedTuple):
    """Rows of a global batch that are this process's.

    Attributes
    ----------
    start, stop : int
    total : int
        Rows of the global batch.
    weight : float
        Their part of the global batch. It is 0 where there are more processes than rows: such a process computes a row
        that does not count.
    """

    start: int
    stop: int
    total: int
    weight: float


def world_size() -> int:
    """Return the number of processes that train together: 1 unless a launcher such as ``torchrun`` said more."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the number of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def local_rank() -> int:
    """Return the number of this process on its machine, from 0, by which it takes a GPU."""
    return int(os.environ.get("LOCAL_RANK", "0")) if world_size() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that writes models, checkpoints, reports and progress."""
    return rank() == 0


@contextmanager
def alone() -> Iterator[None]:
    """Work as if there were no other processes, for what only one of them does, alone or through joblib."""
    before = os.environ.pop("WORLD_SIZE", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["WORLD_SIZE"] = before


def share_of(total: int) -> Share | None:
    """Return which rows of a global batch this process takes; None where there is one process only."""
    size, number = world_size(), rank()
    if size == 1:
        return None
    start, stop = total * number // size, total * (number + 1) // size
    if start < stop:
        return Share(start, stop, total, (stop - start) / total)
    start = min(start, total - 1)
    return Share(start, start + 1, total, 0.0)


def connect(device: torch.device) -> None:
    """Find the other processes; nothing to do for one.

    Raises
    ------
    DistributedError
        If they do not all come.
    """
    if world_size() == 1:
        return
    from accelerate import PartialState

    timeout = timedelta(seconds=float(os.environ.get("STEINMIX_TIMEOUT", TIMEOUT)))
    with _contact():
        PartialState(cpu=device.type == "cpu", timeout=timeout)
    atexit.unregister(_leave)  # once, however many fits there are
    atexit.register(_leave)


def _leave() -> None:
    """Part from the other processes while Python still runs: threads of the group left to its end may abort there."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        time.sleep(PARTING)


@torch.no_grad()
def add_gradients_(params: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes, in place; nothing to do for one process."""
    if world_size() > 1:
        _together_([p.grad for p in params if p.grad is not None], _sum)


@contextmanager
def normalised_together(module: nn.Module, share: Callable[[], Share | None]) -> Iterator[None]:
    """Let batch norms of `module` see the moments of global batches, of which `share` tells what this process has."""

    def moments(x: Tensor) -> tuple[Tensor, Tensor, int]:
        return _global_moments(x, cast(Share, share()))

    norms = [part for part in module.modules() if isinstance(part, BatchNorm)] if world_size() > 1 else []
    for norm in norms:
        norm.moments = moments
    try:
        yield
    finally:
        for norm in norms:
            norm.moments = None


def _global_moments(x: Tensor, share: Share) -> tuple[Tensor, Tensor, int]:
    """Return mean and variance (c,) of each channel in a global batch, and of how many values, from x (b, c, ...)."""
    x = x.movedim(1, -1).flatten(0, -2)
    mean = _Sum.apply(x.mean(0) * share.weight)
    variance = _Sum.apply((x - mean).square().mean(0) * share.weight)
    return mean, variance, len(x) * share.total // (share.stop - share.start)


class _Sum(torch.autograd.Function):
    """The sum over the processes, whose losses add up: so do their gradients."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _sum(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


@torch.no_grad()
def align_(module: nn.Module, streams: Streams) -> None:
    """Give every process the parameters, buffers and generators of the first one.

    Generators differ where a method draws from one for the rows of its share, whose number differs.
    """
    if world_size() > 1:
        _together_(list(module.state_dict().values()), _of_main)
        streams.load_state_dict(from_main(streams.state_dict))


def added(values: Tensor) -> Tensor:
    """Return the sum of `values` over the processes, on the host."""
    return _sum(values.to(_device())).cpu() if world_size() > 1 else values


def log_shares(p: Tensor) -> Tensor:
    """Return the logarithm of the mean of probabilities (*r, b, m) over the rows of all processes, (*r, m).

    Without gradient, which the divergence from a fixed distribution does not need: that of the mean of
    ``(p * (log_shares(p) - log_fixed)).sum(-1)`` is right, for what is missing is the gradient of a sum of ones.
    """
    return batch_mean(p.mean(-2), p.shape[-2]).clamp(min=1e-8).log()


def batch_mean(mean: Tensor, n_rows: int) -> Tensor:
    """Return the mean over the rows of all processes from that over the `n_rows` of this one, without gradient."""
    if world_size() == 1:
        return mean.detach()
    total = added(torch.cat([mean.detach().reshape(-1) * n_rows, mean.new_tensor([n_rows])])).to(mean)
    return (total[:-1] / total[-1]).view_as(mean)


def any_process(flag: bool) -> bool:
    """Return whether `flag` is true on any process."""
    return flag if world_size() == 1 else bool(added(torch.tensor(float(flag))) > 0)


def check_same_rows(n_rows: int, n_features: int, checksum: int) -> None:
    """Raise DistributedError on every process unless all were given the same rows.

    Parts of equal shape, one for each process, would train without a word on rows that are mixed up.
    """
    own = (n_rows, n_features, checksum)
    if any_process(from_main(lambda: own) != own):
        raise DistributedError(
            f"process {rank()} of {world_size()} got {n_rows} rows x {n_features} columns with checksum {checksum:08x} "
            "and not all got the same; give every process all rows, each takes its share of every batch."
        )


def from_main(function: Callable[[], T]) -> T:
    """Return on every process what `function` returns on the first one, the only one that calls it; errors likewise."""
    if world_size() == 1:
        return function()
    from accelerate.utils import broadcast_object_list

    outcome: list[Any] = [None]
    if is_main():
        try:
            outcome = [(function(), None)]
        except SteinmixError as error:
            outcome = [(None, error)]
    with _contact():
        broadcast_object_list(outcome)
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


def _device() -> torch.device:
    from accelerate import PartialState

    return PartialState().device


def _sum(values: Tensor) -> Tensor:
    from accelerate.utils import reduce

    with _contact():
        return reduce(values, reduction="sum")  # type: ignore[return-value]


def _of_main(values: Tensor) -> Tensor:
    from accelerate.utils import broadcast

    with _contact():
        return broadcast(values)  # type: ignore[return-value]


def _together_(tensors: Sequence[Tensor], collective: Callable[[Tensor], Tensor]) -> None:
    """Replace tensors by what `collective` makes of them; those of one type travel as one."""
    for dtype in sorted({t.dtype for t in tensors}, key=str):
        group = [t for t in tensors if t.dtype == dtype]
        flat = collective(torch.cat([t.reshape(-1) for t in group]).to(_device()))
        for tensor, part in zip(group, flat.split([t.numel() for t in group])):
            tensor.copy_(part.view_as(tensor))


@contextmanager
def _contact() -> Iterator[None]:
    """Say in one line that another process is gone; how torch says it depends on the backend."""
    try:
        yield
    except RuntimeError as error:
        atexit.unregister(_leave)  # to part from a process that hangs may hang too
        first = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise DistributedError(
            f"process {rank()} of {world_size()} lost contact with another one, which died or hangs; start all again, "
            f"with resume=True (--resume) where there are checkpoints. ({first})"
        ) from error
