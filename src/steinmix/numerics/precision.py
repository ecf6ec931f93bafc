"""Types of numbers, what a caller has set for them, and the library that multiplies float32 matrices on a CPU."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from .shared import Shared

__all__ = ["onednn_products", "undisturbed", "widened", "without_autocast"]

mkldnn: Any = torch.backends.mkldnn  # whose attributes no stub knows

ROUNDING = 1e-5
"""Error of a float32 product of 500 terms, relative to its largest entry, that is no worse than rounding: seen are 1e-6
in float32 and 3e-3 in bf16."""


def widened(x: Tensor) -> Tensor:
    """Return what came out of a product under autocast in float32; wider types stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def without_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which products on `device` are in the type of their factors; to ask costs 0.5 us, not 12.

    Parameters
    ----------
    device : torch.device
        Whose autocast to switch off, if it is on.
    """
    on = torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Compute on `device` as where the caller has neither autocast nor a default device.

    Parameters
    ----------
    device : torch.device
        Whose autocast to switch off.
    """
    place = nullcontext() if torch.get_default_device().type == "cpu" else torch.device("cpu")
    with without_autocast(device), place:
        yield


@contextmanager
def _routed() -> Iterator[None]:
    """Set torch's process-wide switch that sends float32 products to oneDNN."""
    switch = mkldnn.matmul
    before, switch.fp32_precision = switch.fp32_precision, "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before


_route = Shared(_routed)


@contextmanager
def onednn_products() -> Iterator[None]:
    """Let oneDNN, not MKL, multiply float32 matrices on the CPU, where that loses no digit.

    On AMD processors oneDNN is the faster by 1.1 to 1.4. torch goes there only if it is allowed bf16 inside a product.
    oneDNN uses that permission on processors with AMX and not on others, so the error of a product is measured first,
    and where it is larger than rounding nothing is changed.
    """
    if not _loses_nothing():
        yield
        return
    with _route():
        yield


@functools.cache
def _loses_nothing() -> bool:
    if not (mkldnn.is_available() and hasattr(getattr(mkldnn, "matmul", None), "fp32_precision")):
        return False
    a, b = (torch.arange(n * 500).square().float().sin().reshape(n, 500) for n in (256, 500))  # of no regular digits
    exact = a.double() @ b.double().T
    with _route():
        error = (a @ b.T - exact).abs().max() / exact.abs().max()
    return bool(error < ROUNDING)
