"""The softmax head as a mixture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .gaussian import UnitMixture

__all__ = ["SoftmaxMixture"]


class SoftmaxMixture(UnitMixture):
    r"""Components with :math:`p(c \mid z) \propto \exp(\theta_c^\top z)`; a particle is :math:`\theta_c`.

    It is the unit mixture with means :math:`\theta_c` whose weights are tied to them,
    :math:`\pi_c \propto \exp(\tfrac12 \lVert\theta_c\rVert^2)`: squares cancel, the softmax is left.
    There is no bias.

    Parameters
    ----------
    n_components, n_features : int
        m and d.
    """

    def __init__(self, n_components: int, n_features: int) -> None:
        super().__init__(n_components, n_features, learn_weights=False)

    def log_weights(self) -> Tensor:
        return torch.log_softmax(0.5 * self.means.square().sum(-1), dim=-1)

    @torch.no_grad()
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        """Set the directions to those of the means: DEPICT divides each by its length."""
        self.means.copy_(F.normalize(means, dim=-1))
