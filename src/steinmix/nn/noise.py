"""Noise on inputs, from given streams."""

from __future__ import annotations

from torch import Tensor

from ..random import Streams

__all__ = ["masked"]


def masked(x: Tensor, rate: float, streams: Streams) -> Tensor:
    """Return `x` with each entry set to zero with probability `rate`; the rest is not rescaled.

    This is the masking noise of denoising autoencoders (Vincent et al., 2010), not dropout. It comes from the stream
    "mask".
    """
    if rate == 0:
        return x
    return x * (streams.uniform_like(x, "mask") >= rate)
