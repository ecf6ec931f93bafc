"""Noise on inputs, from a given generator."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["masked"]


def masked(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Return `x` with each entry set to zero with probability `rate`; the rest is not rescaled.

    This is the masking noise of denoising autoencoders (Vincent et al., 2010), not dropout.
    """
    if rate == 0:
        return x
    keep = torch.empty_like(x).uniform_(generator=generator) >= rate
    return x * keep
