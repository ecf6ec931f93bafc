"""What null rows need: some of the rows, and the method's network untrained."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..random import Streams

__all__ = ["some_rows", "untrained_module"]


def some_rows(n: int, most: int, streams: Streams) -> np.ndarray:
    """Return the numbers of `most` random rows of n, ascending; of all, if there are no more."""
    return np.sort(streams.numpy("part").permutation(n)[:most])


def untrained_module(model: Any, streams: Streams) -> Any:
    """Return the network with fresh weights, on the model's device."""
    fresh = Streams(streams.integer("untrained"))
    return model._module(model.plan_, fresh).to(model.preparation_.device).eval()
