r"""What the authors' deep code does instead of the paper's update. For replication only.

Reference: the released code of Wang and Liu (2019), ``lib/ops.py`` with ``clustering/`` and ``anomaly_detection/``.

Its helper returns :math:`(\sum_j k_{ij} g_j + T \sum_j \nabla_{\theta_j} k_{ij}) / \sum_j k_{ij}`, which is right where
:math:`g` is the gradient of what is *maximised*. The two deep experiments hand it the gradient of a *loss* and let the
optimiser descend on the result, so that the term that should push particles apart pulls them together.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .._params import Configuration
from .base import alpha_factor, check_alpha, check_given
from .kernels import RBF

__all__ = ["ReleasedNSVGD"]


@dataclass
class ReleasedNSVGD(Configuration):
    r"""The direction of the released deep experiments. It **attracts**: use it to reproduce their numbers only.

    With h the bandwidth of `MedianSquaredWithZeros`, in terms of ascent,
    :math:`\phi_i = (\sum_j k_{ij} \nabla_{\theta_j} F - T \sum_j \nabla_{\theta_j} k_{ij}) / \sum_j k_{ij}`.
    It equals ``NSVGD(m * T, RBF("median_squared_with_zeros"), row_normalised=True)`` but for the sign of T.

    Parameters
    ----------
    temperature : float or Tensor ``(*r,)``, default=0.5
        T. It stands for the paper's alpha / m.
    """

    temperature: float | Tensor = 0.5

    def __post_init__(self) -> None:
        check_alpha(self.temperature, "temperature")

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return the direction for particles `theta` and gradient `ascent` of F, all three ``(*r, m, p)``.

        Raises
        ------
        ConfigError
            If the temperature is negative or not finite, or particles and gradient differ in shape or type.
        """
        theta, ascent = check_given(theta, ascent)
        check_alpha(self.temperature, "temperature")
        attraction = -alpha_factor(self.temperature, theta)
        return RBF("median_squared_with_zeros").direction(theta, ascent, attraction, normalised=True)
