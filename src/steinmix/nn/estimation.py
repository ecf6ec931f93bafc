"""A small network that says to which component a point belongs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..numerics.fused import tanh
from ..random import Streams
from .mlp import linear

__all__ = ["EstimationNetwork"]


class EstimationNetwork(nn.Module):
    """Linear, tanh, dropout, linear, softmax: DAGMM's estimation network.

    Parameters
    ----------
    n_features, hidden, n_components : int
        d, the width of the hidden layer, m.
    dropout : float
        Share of the hidden units set to zero while training; the others are scaled up.
    generator : torch.Generator
        Draws the initial weights.
    """

    def __init__(
        self, n_features: int, hidden: int, n_components: int, dropout: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.hidden = linear(n_features, hidden, generator)
        self.output = linear(hidden, n_components, generator)
        self.dropout = dropout

    def forward(self, z: Tensor, streams: Streams | None = None) -> Tensor:
        """Return log-memberships (*r, b, m) of points (*r, b, d).

        With `streams` units are dropped, by its stream "dropout".
        """
        hidden = tanh(self.hidden.columns(z.mT.contiguous()))  # the long axis last: all others have a few entries
        if streams is not None:
            noise = streams.uniform_like(hidden.mT, "dropout").mT.contiguous()
            hidden = hidden * torch.ge(noise, self.dropout, out=noise).div_(1 - self.dropout)
        return torch.log_softmax(self.output.columns(hidden), dim=-2).mT
