"""Functions with a gradient written by hand, which takes fewer passes over memory than the one autograd puts together.

They are first-order only: a second derivative raises.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["bernoulli_log_prob", "residual_sums", "tanh"]


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = (x + x).sigmoid_().mul_(2).sub_(1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, y)


def tanh(x: Tensor) -> Tensor:
    r"""Return :math:`\tanh x = 2 \sigma(2x) - 1`, right to two units of the last place of one.

    torch's own is right to the last place of itself, and on a CPU takes four times as long. Types narrower than
    float32, which have no places to lose, go there.
    """
    if torch.finfo(x.dtype).bits < 32:
        return torch.tanh(x)
    return _Tanh.apply(x)  # type: ignore[no-any-return]


class _ResidualSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x, rebuilt)
        scratch = rebuilt - x
        error = scratch.mul_(scratch).sum(-1)
        return error, torch.mul(x, rebuilt, out=scratch).sum(-1), torch.mul(rebuilt, rebuilt, out=scratch).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, error: Tensor, dot: Tensor, square: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        x, rebuilt = ctx.saved_tensors
        own = (2 * (error + square)).unsqueeze(-1) * rebuilt
        return None, own.addcmul_((dot - 2 * error).unsqueeze(-1), x)


def residual_sums(x: Tensor, rebuilt: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return :math:`\lVert\hat x - x\rVert^2`, :math:`\hat x^\top x` and :math:`\lVert\hat x\rVert^2` of rows.

    Parameters
    ----------
    x, rebuilt : Tensor (..., f)
        Of one type. The rows `x` are data: only `rebuilt` gets a gradient.

    Returns
    -------
    tuple of three Tensor (...)
    """
    return _ResidualSums.apply(x.detach(), rebuilt)  # type: ignore[no-any-return]


class _BernoulliLogProb(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: Tensor) -> Tensor:
        ctx.save_for_backward(x, logits)
        return (x * logits).sub_(F.softplus(logits)).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:  # type: ignore[override]
        x, logits = ctx.saved_tensors
        p = torch.sigmoid(logits)
        return None, torch.sub(x, p, out=p).mul_(gradient.unsqueeze(-1))


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    r"""Return :math:`\sum_j x_j \log \hat x_j + (1 - x_j) \log(1 - \hat x_j)` of rows from logits.

    Parameters
    ----------
    x, logits : Tensor (..., f)
        Of one type and shape. The rows `x` are data: only `logits` gets a gradient, x less the probability.

    Returns
    -------
    Tensor (...)
    """
    return _BernoulliLogProb.apply(x.detach(), logits)  # type: ignore[no-any-return]
