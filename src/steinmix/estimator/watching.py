"""Diagnostics of a mixture while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..metrics.diagnostics import diagnose
from ..training import Loader
from .chunks import map_chunks

__all__ = ["WATCHED_ROWS", "diagnosing"]

WATCHED_ROWS = 2048
"""Rows on which the diagnostics of each epoch are measured."""


def diagnosing(groups: Callable[[Tensor], tuple[Tensor, Tensor]], loader: Loader) -> Callable[[], dict[str, Any]]:
    """Return a function that measures a mixture on a fixed sample of the rows.

    Parameters
    ----------
    groups : callable
        Prepared rows (b, f) -> responsibilities (b, m) and means (m, d).
    loader : Loader

    Returns
    -------
    callable
        () -> the figures of `diagnose`; it raises FloatingPointError where the mixture says nothing finite.
    """
    index = loader.sample_index(WATCHED_ROWS)
    watched = torch.from_numpy(map_chunks(lambda x: x, loader, index)).to(loader.device)

    @torch.no_grad()
    def figures() -> dict[str, Any]:
        responsibilities, means = groups(watched)
        if not bool(torch.isfinite(responsibilities).all() and torch.isfinite(means).all()):
            raise FloatingPointError("responsibilities")
        return diagnose(responsibilities, means)

    return figures
