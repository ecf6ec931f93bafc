r"""The gradient of a mixture's mean log-likelihood in closed form, for many runs at once.

.. math:: F(\Theta) = \frac1b \sum_{x} \log \frac1m \sum_c N(x; \mu_c, \mathrm{diag}\,\sigma_c^2), \qquad
          r_c(x) = \frac{N(x; \mu_c, \sigma_c^2)}{\sum_k N(x; \mu_k, \sigma_k^2)},

.. math:: \frac{\partial F}{\partial \mu_c} = \frac1b \sum_x r_c(x) \frac{x - \mu_c}{\sigma_c^2}, \qquad
          \frac{\partial F}{\partial \log \sigma_c^2} = \frac1{2b} \sum_x r_c(x)
          \Bigl( \frac{(x - \mu_c)^2}{\sigma_c^2} - 1 \Bigr).

Points stand on the *last* axis, which is the long one: sums run along memory. (With components last the same takes
four times as long.)
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

__all__ = ["mixture_ascent"]

BLOCK_ENTRIES = 2**16
"""Numbers in a temporary. Larger ones leave the cache and are fetched from the system anew each time."""


def mixture_ascent(x: Tensor, means: Tensor, log_vars: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the gradients of F with respect to `means` and `log_vars`, each (*r, m, d).

    Parameters
    ----------
    x : Tensor (*r, d, b)
        Points; leading dimensions broadcast against those of the parameters.
    means, log_vars : Tensor (*r, m, d)
        `log_vars` is :math:`\log \sigma^2`. Weights are uniform.
    """
    if torch.compiler.is_compiling():
        return _unrolled(x, means, log_vars)
    lead = means.shape[:-2]
    if not lead or max(lead) == 1 or means.numel() * x.shape[-1] <= BLOCK_ENTRIES:
        return _batched(x, means, log_vars)
    axis = lead.index(max(lead))
    half = -(-lead[axis] // 2)
    points = x.expand(*lead[: means.ndim - x.ndim], *x.shape)
    parts = zip(
        (points, points) if points.shape[axis] == 1 else points.split(half, axis),
        means.split(half, axis),
        log_vars.split(half, axis),
    )
    by_means, by_log_vars = (torch.cat(halves, axis) for halves in zip(*(mixture_ascent(*part) for part in parts)))
    return by_means, by_log_vars


def _batched(x: Tensor, means: Tensor, log_vars: Tensor) -> tuple[Tensor, Tensor]:
    """The few operations that serve best when each is run by itself."""
    difference = x.unsqueeze(-3) - means.unsqueeze(-1)  # (*r, m, d, b)
    square = difference.square()
    scaled = square * torch.exp(-log_vars).unsqueeze(-1)
    distance = scaled.squeeze(-2) if scaled.shape[-2] == 1 else scaled.sum(-2)  # a sum of one is a copy
    r = torch.softmax(distance.add_(log_vars.sum(-1, keepdim=True)).mul_(-0.5), dim=-2).unsqueeze(-2)
    return _gradients(r.sum(-1), difference.mul_(r).sum(-1), square.mul_(r).sum(-1), log_vars, x.shape[-1])


def _unrolled(x: Tensor, means: Tensor, log_vars: Tensor) -> tuple[Tensor, Tensor]:
    """The same, component by component: a compiler makes one pass over the points of it, without temporaries."""
    differences = [x - mean.unsqueeze(-1) for mean in means.unbind(-2)]  # m of (*r, d, b)
    pairs = zip(differences, log_vars.unbind(-2))
    logits = [
        -0.5 * (difference.square() * torch.exp(-v).unsqueeze(-1) + v.unsqueeze(-1)).sum(-2) for difference, v in pairs
    ]
    top = reduce(torch.maximum, logits)
    shares = [torch.exp(logit - top) for logit in logits]
    norm = 1 / reduce(torch.add, shares)
    r = [(share * norm).unsqueeze(-2) for share in shares]
    mass = torch.stack([one.sum(-1) for one in r], -2)
    first = torch.stack([(one * difference).sum(-1) for one, difference in zip(r, differences)], -2)
    second = torch.stack([(one * difference.square()).sum(-1) for one, difference in zip(r, differences)], -2)
    return _gradients(mass, first, second, log_vars, x.shape[-1])


def _gradients(mass: Tensor, first: Tensor, second: Tensor, log_vars: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """Turn the sums over points of r, r (x - mu) and r (x - mu)^2 into both gradients."""
    precision = torch.exp(-log_vars)
    return first * precision / b, 0.5 * (second * precision - mass) / b
