"""Fully connected networks with Glorot-uniform weights drawn from a given generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..numerics.fused import tanh

__all__ = ["Linear", "Tanh", "linear", "mlp", "relu", "side_by_side"]


EVEN_WIDTH = 16
"""Where rows are only read, a layer of fewer outputs is computed with that many. MKL's kernels for 2 to 11 outputs
round by where in a batch a row stands; what a model says of a row must not depend on its neighbours."""


class Linear(nn.Linear):
    """torch's linear layer, which also works with stacked weights (r, out, in) on stacked rows (r, b, in).

    Parameters
    ----------
    in_features, out_features : int
        Columns of the rows that come in and go out.
    bias : bool, default=True
        Whether there is a bias.
    device, dtype : optional
        As for torch's layer.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return (b, out), or (r, b, out) of stacked weights."""
        return _affine(input, self.weight, self.bias)

    def columns(self, input: Tensor) -> Tensor:
        """Return (*r, out, b) of rows as columns, (*r, in, b): for layers so narrow that this is the long axis."""
        product = torch.addmm if self.weight.ndim == 2 else torch.baddbmm
        return product(self.bias.unsqueeze(-1), self.weight, input)


class Tanh(nn.Module):
    """The hyperbolic tangent as an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return it, of the shape of `x`."""
        return tanh(x)


def side_by_side(input: Tensor, *layers: Linear) -> Sequence[Tensor]:
    """Return what each layer makes of the same rows, from one product: narrow ones cost little less than wide ones.

    Parameters
    ----------
    input : Tensor (b, in) or (r, b, in)
        The rows.
    *layers : Linear
        The layers, all of `in` columns.
    """
    weight = torch.cat([layer.weight for layer in layers], dim=-2)
    output = _affine(input, weight, torch.cat([layer.bias for layer in layers], dim=-1))
    return output.split([layer.out_features for layer in layers], dim=-1)


def _affine(input: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.ndim > 2:
        return torch.baddbmm(bias.unsqueeze(-2), input, weight.mT)
    width = weight.shape[-2]
    missing = EVEN_WIDTH - width
    if torch.is_grad_enabled() or missing <= 0:
        return F.linear(input, weight, bias)
    padded = F.linear(input, F.pad(weight, (0, 0, 0, missing)), F.pad(bias, (0, missing)))
    return padded[..., :width].contiguous()


def linear(n_in: int, n_out: int, generator: torch.Generator) -> Linear:
    """Return a linear layer, Glorot uniform, zero bias; torch's own constructor draws from its global generator.

    Parameters
    ----------
    n_in, n_out : int
        Columns of the rows that come in and go out.
    generator : torch.Generator
        Draws the weights.
    """
    layer = cast(Linear, nn.utils.skip_init(Linear, n_in, n_out, dtype=torch.float32))
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def relu() -> nn.Module:
    """Return the activation of DEC and VaDE."""
    return nn.ReLU(inplace=True)


def mlp(sizes: Sequence[int], generator: torch.Generator, activation: Callable[[], nn.Module] = relu) -> nn.Sequential:
    """Return linear layers between `sizes`, each followed by an activation; one size gives the identity.

    Parameters
    ----------
    sizes : sequence of int
        Columns of the rows, then the width of each layer.
    generator : torch.Generator
        Draws the weights.
    activation : callable
        () -> module that follows each layer.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [linear(n_in, n_out, generator), activation()]
    return nn.Sequential(*layers)
