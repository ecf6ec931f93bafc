r"""Nonlinear Stein variational gradient descent.

Reference: D. Wang and Q. Liu, *Nonlinear Stein Variational Gradient Descent for Learning Diversified Mixture
Models*, ICML 2019 (key ``wang2019``).

Objective (Eq. 2 and 5 of the paper) and update (Eq. 1, Algorithm 1):

.. math:: \max_\rho \; F[\rho] + \alpha H[\rho], \qquad \theta_i \leftarrow \theta_i + \epsilon\,\phi_i,

.. math:: \phi_i = \sum_{j=1}^m \Bigl[ \nabla_{\theta_j} F(\Theta)\, k(\theta_j, \theta_i)
          + \frac{\alpha}{m} \nabla_{\theta_j} k(\theta_j, \theta_i) \Bigr].

With a prior :math:`p_0`, :math:`\alpha H[\rho]` becomes :math:`-\alpha \mathrm{KL}(\rho \,\|\, p_0)`, which adds
:math:`\tfrac{\alpha}{m} \nabla \log p_0(\theta_j)` to the first gradient.

================================  ==============================================
paper                             here
================================  ==============================================
:math:`\theta_i`, :math:`\Theta`  rows of `theta` (m, p)
:math:`\nabla_{\theta_j} F`       rows of `ascent` (m, p)
:math:`\alpha`                    `alpha`
:math:`k`, :math:`h`              `kernel`, its bandwidth (a length)
:math:`\epsilon`                  the optimiser's step, not ours
================================  ==============================================

Deviations. A bandwidth taken from the particles is 1e-6 at least, and above 2,000 particles the median of random pairs.
Off by default: ``row_normalised`` divides :math:`\phi_i` by :math:`\sum_j k(\theta_j, \theta_i)`, as the authors'
released code does; its temperature T is our :math:`\alpha / m`. The code's bandwidth is `MedianSquaredWithZeros`. The
slides weigh the repulsion by :math:`\alpha`, the paper and we by :math:`\alpha / m`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from .._params import Configuration
from ..numerics.precision import widened
from .base import alpha_factor, check_alpha, check_given, check_part
from .kernels import RBF, Kernel
from .priors import Prior

__all__ = ["NSVGD"]


@dataclass
class NSVGD(Configuration):
    """The Stein direction that maximises F[rho] + alpha H[rho] over m particles.

    Parameters
    ----------
    alpha : float or Tensor ``(*r,)``, default=1.0
        Strength of the entropy, as in the paper. With 0 the gradients are still smoothed over components.
    kernel : Kernel, default=RBF(bandwidth="median")
        What makes two particles near: `RBF`, `IMQ` or one of `steinmix.diversify`.
    prior : Prior, optional
        Density on particles that bounds the objective; without one F + alpha H has no maximum where F is bounded.
    row_normalised : bool, default=False
        Divide each particle's direction by its kernel mass, as the authors' released code does.

    References
    ----------
    Wang and Liu (2019), key ``wang2019``.

    Examples
    --------
    >>> import torch
    >>> theta = torch.tensor([[0.0], [1.0]])
    >>> NSVGD(alpha=1.0)(theta, torch.zeros_like(theta)).flatten().tolist()     # with F = 0 they move apart
    [-0.303..., 0.303...]
    """

    alpha: float | Tensor = 1.0
    kernel: Kernel = field(default_factory=RBF)
    prior: Prior | None = None
    row_normalised: bool = False

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_part("kernel", self.kernel, "direction")
        if self.prior is not None:
            check_part("prior", self.prior, "score")

    def __call__(self, theta: Tensor, ascent: Tensor) -> Tensor:
        """Return phi ``(*r, m, p)`` for particles `theta` ``(*r, m, p)`` and gradient `ascent` ``(*r, m, p)`` of F.

        Raises
        ------
        ConfigError
            If alpha is negative or not finite, or particles and gradient differ in shape or type.
        """
        theta, ascent = check_given(theta, ascent)
        check_alpha(self.alpha)
        strength = alpha_factor(self.alpha, theta) / theta.shape[-2]
        if self.prior is not None:
            score = self.prior.score(widened(theta))  # of a narrow prior beyond float16, while alpha / m of it is not
            ascent = (widened(ascent) + strength * score).to(theta.dtype)
        return self.kernel.direction(theta, ascent, strength, self.row_normalised)
