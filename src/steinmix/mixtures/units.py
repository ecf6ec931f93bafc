r"""Steps of full covariances in the units of each component.

A rate is a length in parameters. Where columns depend on one another a component may be a thousand times narrower in
one direction than in others, and a step that suits those throws it many standard deviations off. In the component's own
coordinates, :math:`x = \mu + L z`, it has the covariance I whatever the data are, and a rate is a share of a deviation
in every direction. So gradients are turned into these coordinates before an optimiser sees them, and its steps back.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer

from .gaussian import SMALLEST_SCALE, CholeskyMixture

__all__ = ["step_in_own_units"]


def step_in_own_units(optimizer: Optimizer, mixture: CholeskyMixture) -> None:
    """Let an optimiser see and move each component of `mixture` in the component's own coordinates.

    Parameters
    ----------
    optimizer : Optimizer
        Over the parameters of `mixture`, perhaps among others.
    mixture : CholeskyMixture
        May be a stack of several.
    """
    steps = _OwnUnits(mixture)
    optimizer.register_step_pre_hook(steps.turn_gradients_)
    optimizer.register_step_post_hook(steps.turn_steps_)


class _OwnUnits:
    def __init__(self, mixture: CholeskyMixture) -> None:
        self.mixture = mixture

    @torch.no_grad()
    def turn_gradients_(self, *_: Any) -> None:
        means, raw = self.mixture.means, self.mixture.raw_tril
        self.factor, self.slope = self.mixture.scale_tril(), _slope(raw)
        self.means, self.raw = means.clone(), raw.clone()
        means.grad = _times(self.factor.mT, cast(Tensor, means.grad))
        raw.grad = (self.factor.mT @ (self.slope * cast(Tensor, raw.grad)).tril()).tril()

    @torch.no_grad()
    def turn_steps_(self, *_: Any) -> None:
        means, raw = self.mixture.means, self.mixture.raw_tril
        means.copy_(self.means + _times(self.factor, means - self.means))
        raw.copy_(self.raw + self.slope * (self.factor @ (raw - self.raw).tril()))


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    return (matrices @ vectors.unsqueeze(-1)).squeeze(-1)


def _slope(raw: Tensor) -> Tensor:
    """Return what turns a step of L into one of `raw`: on the diagonal, of the part above the smallest scale."""
    diagonal = raw.diagonal(dim1=-2, dim2=-1)
    slope = torch.ones_like(raw)
    free = F.softplus(diagonal)
    slope.diagonal(dim1=-2, dim2=-1).copy_(free / (free + SMALLEST_SCALE) / torch.sigmoid(diagonal))
    return slope
