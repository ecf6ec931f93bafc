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
    lead = means.shape[:-2]
    if not lead or max(lead) == 1 or means.numel() * x.shape[-1] <= BLOCK_ENTRIES or torch.compiler.is_compiling():
        return _ascent(x, means, log_vars)  # a compiler makes its own blocks
    axis = lead.index(max(lead))
    half = -(-lead[axis] // 2)
    points = x.expand(*lead[: means.ndim - x.ndim], *x.shape)
    shared = points.shape[axis] == 1
    parts = zip((points, points) if shared else points.split(half, axis), *(p.split(half, axis) for p in (means, log_vars)))
    by_means, by_log_vars = (torch.cat(halves, axis) for halves in zip(*(mixture_ascent(*part) for part in parts)))
    return by_means, by_log_vars


def _ascent(x: Tensor, means: Tensor, log_vars: Tensor) -> tuple[Tensor, Tensor]:
    precision = torch.exp(-log_vars)
    difference = x.unsqueeze(-3) - means.unsqueeze(-1)  # (*r, m, d, b)
    square = difference.square()
    scaled = square * precision.unsqueeze(-1)
    distance = scaled.squeeze(-2) if scaled.shape[-2] == 1 else scaled.sum(-2)  # a sum of one is a copy
    r = torch.softmax(distance.add_(log_vars.sum(-1, keepdim=True)).mul_(-0.5), dim=-2).unsqueeze(-2)
    mass, first, second = r.sum(-1), difference.mul_(r).sum(-1), square.mul_(r).sum(-1)
    b = x.shape[-1]
    return first * precision / b, 0.5 * (second * precision - mass) / b
