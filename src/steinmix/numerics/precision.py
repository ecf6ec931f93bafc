"""Types of numbers."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["widened"]


def widened(x: Tensor) -> Tensor:
    """Return what came out of a product under autocast in float32; wider types stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
