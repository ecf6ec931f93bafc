"""From raw rows to what a network sees, and back."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..data.prepare import Scaling

__all__ = ["Preparation"]

WIDE = (torch.float64, torch.int32, torch.int64, torch.uint32, torch.uint64)
"""Types whose numbers float32 cannot hold: a column of time stamps would lose its digits before it is shifted."""


class Preparation(nn.Module):
    """The affine map (x - shift) / scale as part of the model; it is saved with it.

    Parameters
    ----------
    scaling : Scaling
        Shift and scale, (f,) each.
    """

    shift: Tensor
    scale: Tensor
    _shift32: Tensor
    _scale32: Tensor

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.register_buffer("shift", torch.as_tensor(np.asarray(scaling.shift, dtype=np.float64)))
        self.register_buffer("scale", torch.as_tensor(np.asarray(scaling.scale, dtype=np.float64)))
        self.register_buffer("_shift32", self.shift.float(), persistent=False)
        self.register_buffer("_scale32", self.scale.float(), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.shift.device

    def forward(self, x: Tensor) -> Tensor:
        """Return prepared rows (b, f) in float32 for raw rows of any type; wide ones are shifted in float64."""
        if x.dtype in WIDE:
            return ((x.double() - self.shift) / self.scale).float()
        return (x.float() - self._shift32) / self._scale32

    def inverse(self, x: Tensor) -> Tensor:
        """Return rows (b, f) in the units of the data, in float64."""
        return x.double() * self.scale + self.shift

    def log_jacobian(self) -> float:
        """Return what a log-density of prepared rows lacks to be one of raw rows: -sum log scale."""
        return float(-self.scale.log().sum())
