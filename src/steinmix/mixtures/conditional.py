"""A mixture whose components depend on a second, standard normal variable: the prior of GMVAE."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..numerics.densities import LOG_2PI, diagonal_log_prob, normal_kl
from ..numerics.fused import tanh
from ..numerics.precision import widened
from ..random import fixed_generator
from .base import AbstractMixture
from .gaussian import means_and_variances

__all__ = ["Components", "ConditionalMixture"]

LOG_VAR_RANGE = (-8.0, 8.0)
N_DRAWS = 16
"""Of w, at which diversifiers compare components."""


class Components(NamedTuple):
    """The components at given w.

    Attributes
    ----------
    means : Tensor ``(*r, b, m, d)``
        Of each component at each w.
    log_vars : Tensor ``(*r, b, m, d)``
        Log-variances, clamped to [-8, 8].
    """

    means: Tensor
    log_vars: Tensor


class ConditionalMixture(AbstractMixture):
    r"""Uniform mixture of :math:`N(w; 0, I)\, N(z; \mu_c(w), \mathrm{diag}\,\sigma_c^2(w))` over points [z, w].

    One tanh layer of w, common to all, carries m pairs of linear heads. A particle is one pair: its weights and biases.
    `steinmix.diversify.in_function_space` lets a diversifier see `values` of it, the components, in their place.
    With zero weights it is a `DiagonalMixture` of z, beside an independent w.

    Parameters
    ----------
    n_components, n_code, n_style : int
        m, and the lengths of z and w.
    hidden : int
        Width of the tanh layer.
    generator : torch.Generator
        Draws all weights and biases, uniform in :math:`\pm 1 / \sqrt{\text{inputs}}`, as the authors' framework does:
        biases set the components apart at w = 0.
    """

    draws: Tensor

    def __init__(self, n_components: int, n_code: int, n_style: int, hidden: int, generator: torch.Generator) -> None:
        super().__init__(n_components, n_code + n_style, learn_weights=False)
        self.n_code, self.n_style = n_code, n_style

        def drawn(n_in: int, *shape: int) -> nn.Parameter:
            bound = 1 / math.sqrt(n_in)
            return nn.Parameter(torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator))

        self.weight, self.bias = drawn(n_style, hidden, n_style), drawn(n_style, hidden)
        self.head_weight = drawn(hidden, n_components, 2 * n_code, hidden)
        self.head_bias = drawn(hidden, n_components, 2 * n_code)
        draws = torch.randn(N_DRAWS, n_style, generator=fixed_generator(), dtype=torch.float32)
        self.register_buffer("draws", draws, persistent=False)

    def components(self, w: Tensor) -> Components:
        """Return means and log-variances ``(*r, b, m, d)`` at `w` ``(*r, b, w)``."""
        hidden = tanh(F.linear(w, self.weight, self.bias))
        heads = widened(F.linear(hidden, self.head_weight.flatten(0, 1), self.head_bias.flatten()))
        means, log_vars = heads.unflatten(-1, (self.n_components, 2, self.n_code)).unbind(-2)
        return Components(means, log_vars.clamp(*LOG_VAR_RANGE))

    def code_log_prob(self, z: Tensor, components: Components) -> Tensor:
        r"""Return :math:`\log p(z \mid w, c)`, ``(*r, b, m)``, of codes `z` ``(*r, b, d)``."""
        return diagonal_log_prob(z.unsqueeze(-2), *components).squeeze(-2)

    def code_kl(self, mean: Tensor, log_var: Tensor, components: Components) -> Tensor:
        r"""Return :math:`\mathrm{KL}(N(\mu, \sigma^2) \,\|\, p(z \mid w, c))`, ``(*r, b, m)``, of normals (b, d)."""
        return normal_kl(mean.unsqueeze(-2), log_var.unsqueeze(-2), *components)

    def component_log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log p(z, w \mid c)`, (b, m), for points [z, w] (b, d + w)."""
        code, w = z.split([self.n_code, self.n_style], dim=-1)
        prior = -0.5 * (w.square() + LOG_2PI).sum(-1, keepdim=True)
        return self.code_log_prob(code, self.components(w)) + prior

    def component_parameters(self) -> list[nn.Parameter]:
        return [self.head_bias, self.head_weight]

    def values(self, theta: Tensor) -> Tensor:
        """Return means, then log-variances, (m, 32 d), that heads `theta` (m, p) give at 16 fixed draws of w."""
        with torch.no_grad():
            hidden = tanh(F.linear(self.draws, self.weight, self.bias))
        bias, weight = theta.split([2 * self.n_code, theta.shape[-1] - 2 * self.n_code], dim=-1)
        heads = bias.unsqueeze(-1) + weight.unflatten(-1, (2 * self.n_code, -1)) @ hidden.T
        return heads.flatten(-2)

    def component_means(self) -> Tensor:
        """Return the means of z at w = 0, (m, d)."""
        return self._at_zero().means

    def covariances(self) -> Tensor:
        """Return the covariance matrices of z at w = 0, (m, d, d)."""
        return torch.diag_embed(self._at_zero().log_vars.exp())

    def expected_component_log_prob(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """Return the expectation, (b, m), for normal points [z, w]; the heads are taken at the mean of w."""
        code, w = mean.split([self.n_code, self.n_style], dim=-1)
        spread, w_spread = log_var.exp().split([self.n_code, self.n_style], dim=-1)
        components = self.components(w)
        lost = (spread.unsqueeze(-2) * torch.exp(-components.log_vars)).sum(-1) + w_spread.sum(-1, keepdim=True)
        prior = -0.5 * (w.square() + LOG_2PI).sum(-1, keepdim=True)
        return self.code_log_prob(code, components) + prior - 0.5 * lost

    @torch.no_grad()
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        """Set the components of z to means (m, d) and (co)variances, for every w alike: weights become zero."""
        variances = covariances.diagonal(dim1=-2, dim2=-1) if covariances.ndim == 3 else covariances
        log_vars = variances.clamp(min=math.exp(LOG_VAR_RANGE[0])).log()
        self.head_weight.zero_()
        self.head_bias.copy_(torch.cat([means, log_vars], dim=-1))

    def moments_(self, z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted means and variances (m, d) of the codes in points [z, w]."""
        return means_and_variances(z[:, : self.n_code], responsibilities)

    def standard_draw(self, component: Tensor, noise: Tensor) -> Tensor:
        """Turn standard normal noise (n, d + w) into points [z, w]; the last part is w itself."""
        code, w = noise.split([self.n_code, self.n_style], dim=-1)
        means, log_vars = self.components(w)
        row = torch.arange(len(component), device=component.device)
        return torch.cat([means[row, component] + code * (0.5 * log_vars[row, component]).exp(), w], dim=-1)

    def _at_zero(self) -> Components:
        means, log_vars = self.components(self.weight.new_zeros(1, self.n_style))
        return Components(means[0], log_vars[0])
