r"""Diversity penalties: what the Nonlinear SVGD paper compares with in Section 5.1.

Both add the gradient of a penalty to the gradient of F; unlike NSVGD they do not smooth it over components.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .._params import Configuration, check_at_least
from .base import NoDiversity, alpha_factor, check_alpha, check_given, check_part
from .kernels import RBF, Kernel

__all__ = ["LogDet", "Pairwise", "is_neutral"]


@dataclass
class Pairwise(Configuration):
    r"""Pairwise similarity penalty (GMM-PT): maximise :math:`F(\Theta) - \alpha \sum_{i \ne j} k(\theta_i, \theta_j)`.

    The paper prints a plus sign, which would reward similar components; the minus is what its text describes.
    The bandwidth counts as a constant.

    Parameters
    ----------
    alpha : float or Tensor ``(*r,)``, default=1.0
        Strength of the penalty; 0 leaves it out.
    kernel : Kernel, default=RBF(bandwidth="median")
        What makes two particles similar: `RBF`, `IMQ` or one of `steinmix.diversify`.
    """

    alpha: float | Tensor = 1.0
    kernel: Kernel = field(default_factory=RBF)

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_part("kernel", self.kernel, "direction")

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return the gradient of the penalised objective, ``(*r, m, p)``."""
        theta, ascent = check_given(theta, ascent)
        check_alpha(self.alpha)
        # k_ij depends on theta_i twice, as (i, j) and as (j, i): hence the 2.
        strength = 2 * alpha_factor(self.alpha, theta)
        if (apart := getattr(self.kernel, "apart", None)) is not None:
            return ascent + strength * apart(theta)
        # Of theta_i - theta_j alone, a kernel has opposite gradients: what repels is what the penalty descends.
        return ascent + self.kernel.direction(theta, torch.zeros_like(ascent), strength)


@dataclass
class LogDet(Configuration):
    r"""Determinantal penalty (GMM-LogDet): maximise :math:`F(\Theta) + \alpha \log\det (K_\Theta + \epsilon I)`.

    The bandwidth counts as a constant. It costs O(m^3), in float64.

    Parameters
    ----------
    alpha : float or Tensor ``(*r,)``, default=1.0
        Strength of the penalty; 0 leaves it out.
    kernel : Kernel, default=RBF(bandwidth="median")
        What makes two particles similar: `RBF`, `IMQ` or one of `steinmix.diversify`.
    jitter : float, default=1e-4
        :math:`\epsilon`; without it K is singular as soon as two particles meet.
    """

    alpha: float | Tensor = 1.0
    kernel: Kernel = field(default_factory=RBF)
    jitter: float = 1e-4

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_part("kernel", self.kernel, "matrices")
        check_at_least("jitter", self.jitter, 0.0)

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return the gradient of the penalised objective, ``(*r, m, p)``."""
        theta, ascent = check_given(theta, ascent)
        check_alpha(self.alpha)
        wide = theta.double()
        k, w = self.kernel.matrices(wide)
        eye = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        pull = torch.linalg.inv(k + self.jitter * eye) * w
        gradient = -2 * (pull.sum(-1, keepdim=True) * wide - pull @ wide)
        return ascent + alpha_factor(self.alpha, theta) * gradient.to(theta.dtype)


def is_neutral(diversifier: Any) -> bool:
    """Whether a diversifier leaves every direction as it is: none, `NoDiversity`, or a penalty of strength 0.

    Parameters
    ----------
    diversifier : Diversifier or None
        NSVGD is never neutral: without entropy it still smooths gradients over components.
    """
    if isinstance(diversifier, Pairwise | LogDet):
        return not torch.as_tensor(diversifier.alpha).any()
    return isinstance(diversifier, NoDiversity | None)
