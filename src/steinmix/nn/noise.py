"""Noise on inputs, from given streams."""

from __future__ import annotations

import torch
from torch import Tensor

from ..random import Streams

__all__ = ["dropped", "masked"]


def masked(x: Tensor, rate: float, streams: Streams) -> Tensor:
    """Return `x` with each entry set to zero with probability `rate`; the rest is not rescaled.

    This is the masking noise of denoising autoencoders (Vincent et al., 2010), not dropout. It comes from the stream
    "mask".

    Parameters
    ----------
    x : Tensor
        Of any shape.
    rate : float
        Probability, from 0 to 1.
    streams : Streams
        Where chance comes from.
    """
    if rate == 0:
        return x
    return x * (streams.uniform_like(x, "mask") >= rate)


def dropped(x: Tensor, rate: float, streams: Streams) -> Tensor:
    """Return `x` after dropout: entries are zero with probability `rate`, the rest is scaled so that the mean stays.

    One random byte decides on one entry; `rate` is rounded to 1/256, at most 255/256, and the scale is that of the
    rounded rate. The bytes come from the stream "dropout". Of a tensor in channels-last order the mask has that order
    too.

    Parameters
    ----------
    x : Tensor
        Rows (b, ...).
    rate : float
        Probability, from 0 to below 1.
    streams : Streams
        Where chance comes from.
    """
    cut = min(round(256 * rate), 255)
    if cut == 0:
        return x
    x = x if x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()
    keep = streams.bytes_like(x, "dropout") >= cut
    return x * (keep.to(x.dtype) * (256 / (256 - cut))).as_strided(x.shape, x.stride())
