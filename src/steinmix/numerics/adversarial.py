r"""Virtual adversarial perturbations: the small step that changes a classifier's answer most.

T. Miyato, S. Maeda, M. Koyama, S. Ishii, *Virtual adversarial training*, TPAMI 2019 (key ``miyato2019``), Eq. 5 and 6,
one step of the power iteration:

.. math:: r(x) = \arg\max_{\lVert r \rVert = \epsilon} \mathrm{KL}[p(\cdot|x) \,\|\, p(\cdot|x + r)].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .densities import categorical_kl

__all__ = ["adversarial_step"]

TINY = 1e-12


def adversarial_step(
    log_prob: Callable[[Tensor], Tensor], x: Tensor, log_p: Tensor, length: Tensor, noise: Tensor
) -> Tensor:
    """Return the step from each row that changes the classifier most, (*r, b, f); no gradient flows through it.

    Parameters
    ----------
    log_prob : callable
        Rows (*r, b, f) -> log-probabilities (*r, b, m).
    x : Tensor (*r, b, f)
    log_p : Tensor (*r, b, m)
        Of `x`, without gradient.
    length : Tensor
        Of the step, in the units of the rows; broadcast against (*r, b, 1).
    noise : Tensor (*r, b, f)
        Directions at which the divergence is differentiated. It has no slope at `x` itself.
    """
    probe = (_unit(noise) * length).requires_grad_()
    with torch.enable_grad():
        divergence = categorical_kl(log_p, log_prob(x + probe)).sum()
    (slope,) = torch.autograd.grad(divergence, probe)
    return _unit(slope) * length


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp(min=TINY)
