"""Gaussian mixtures with diagonal, full (by Cholesky factors) and unit covariance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..numerics.densities import cholesky_log_prob, diagonal_log_prob
from ..numerics.precision import without_autocast
from .base import AbstractMixture

__all__ = ["COVARIANCES", "CholeskyMixture", "DiagonalMixture", "SignedCholeskyMixture", "UnitMixture"]

SMALLEST_SCALE = 1e-3
"""Added to the positive diagonal of a Cholesky factor: a standard deviation, in the units of the points."""

SMALLEST_SIGNED = 1e-4
"""The same where the diagonal has a sign: the released code of Wang and Liu (2019) has sqrt(1e-8 + s^2) for |s|."""


def _weighted_means(z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return shares (n, m) that sum to one over rows, and the means (m, d)."""
    share = responsibilities / responsibilities.sum(0).clamp(min=1e-12)
    return share, share.T @ z


def means_and_variances(z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weighted means and variances (m, d) of points (n, d)."""
    share, means = _weighted_means(z, responsibilities)
    # Per component, centred first: E[zz] - E[z]E[z] loses all digits of a tight component far from 0.
    return means, torch.stack([s @ (z - mean).square() for s, mean in zip(share.T, means)])


class DiagonalMixture(AbstractMixture):
    r"""Components :math:`N(\mu_c, \mathrm{diag}\,\sigma_c^2)`; a particle is :math:`[\mu_c, \log \sigma_c^2]`.

    Parameters
    ----------
    n_components, n_features : int
        m and d.
    learn_weights : bool, default=True
        Whether the weights are parameters or stay uniform.
    log_var_range : (float, float), default=(-10, 10)
        Log-variances are projected into this interval after each step.
    """

    def __init__(
        self,
        n_components: int,
        n_features: int,
        learn_weights: bool = True,
        log_var_range: tuple[float, float] = (-10.0, 10.0),
    ) -> None:
        super().__init__(n_components, n_features, learn_weights)
        self.log_var_range = log_var_range
        self.means = nn.Parameter(torch.zeros(n_components, n_features))
        self.log_vars = nn.Parameter(torch.zeros(n_components, n_features))

    def component_log_prob(self, z: Tensor) -> Tensor:
        return diagonal_log_prob(z, self.means, self.log_vars)

    def component_parameters(self) -> list[nn.Parameter]:
        return [self.means, self.log_vars]

    def expected_component_log_prob(self, mean: Tensor, log_var: Tensor) -> Tensor:
        spread = (log_var.exp().unsqueeze(-2) * torch.exp(-self.log_vars).unsqueeze(-3)).sum(-1)
        return self.component_log_prob(mean) - 0.5 * spread

    @torch.no_grad()
    def project_(self) -> None:
        self.log_vars.clamp_(*self.log_var_range)

    @torch.no_grad()
    def widen_(self, share: float) -> None:
        """Raise every variance to at least `share` of the whole mixture's variance, averaged over coordinates."""
        least = share * self.variance().mean(-1)
        self.log_vars.copy_(torch.maximum(self.log_vars, least.log()[..., None, None]))
        self.project_()

    @torch.no_grad()
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        variances = covariances.diagonal(dim1=-2, dim2=-1) if covariances.ndim == 3 else covariances
        self.means.copy_(means)
        self.log_vars.copy_(variances.clamp(min=math.exp(self.log_var_range[0])).log())
        self.project_()

    def moments_(self, z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
        return means_and_variances(z, responsibilities)

    def covariances(self) -> Tensor:
        return torch.diag_embed(self.log_vars.exp())

    def standard_draw(self, component: Tensor, noise: Tensor) -> Tensor:
        return self.means[component] + noise * (0.5 * self.log_vars[component]).exp()


class CholeskyMixture(AbstractMixture):
    r"""Components :math:`N(\mu_c, L_c L_c^\top)`.

    A particle is :math:`[\mu_c, \mathrm{raw}_c]`, where L is the strict lower triangle of ``raw`` and has the diagonal
    ``softplus(diag raw) + 1e-3``, so that no step can make it singular.

    Parameters
    ----------
    n_components, n_features : int
        m and d.
    learn_weights : bool, default=True
        Whether the weights are parameters or stay uniform.
    """

    def __init__(self, n_components: int, n_features: int, learn_weights: bool = True) -> None:
        super().__init__(n_components, n_features, learn_weights)
        self.means = nn.Parameter(torch.zeros(n_components, n_features))
        self.raw_tril = nn.Parameter(torch.zeros(n_components, n_features, n_features))

    def scale_tril(self) -> Tensor:
        """Return L, (m, d, d)."""
        diagonal = F.softplus(self.raw_tril.diagonal(dim1=-2, dim2=-1)) + SMALLEST_SCALE
        return self.raw_tril.tril(-1) + torch.diag_embed(diagonal)

    def component_log_prob(self, z: Tensor) -> Tensor:
        return cholesky_log_prob(z, self.means, self.scale_tril())

    def component_parameters(self) -> list[nn.Parameter]:
        return [self.means, self.raw_tril]

    def expected_component_log_prob(self, mean: Tensor, log_var: Tensor) -> Tensor:
        # E (z-mu)' S^-1 (z-mu) adds trace(S^-1 diag(v)) = sum_j v_j * (squared norm of column j of L^-1).
        factor = self.scale_tril()
        eye = torch.eye(self.n_features, dtype=factor.dtype, device=factor.device)
        inverse = torch.linalg.solve_triangular(factor, eye, upper=False)
        with without_autocast(factor.device):
            spread = log_var.to(factor).exp() @ inverse.square().sum(-2).mT
        return self.component_log_prob(mean) - 0.5 * spread

    @torch.no_grad()
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        full = torch.diag_embed(covariances) if covariances.ndim == 2 else covariances
        factor = _jittered_cholesky(full)
        diagonal = (factor.diagonal(dim1=-2, dim2=-1) - SMALLEST_SCALE).clamp(min=1e-4)
        inverse_softplus = diagonal + torch.log(-torch.expm1(-diagonal))
        self.means.copy_(means)
        self.raw_tril.copy_(factor.tril(-1) + torch.diag_embed(inverse_softplus))

    def moments_(self, z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
        share, means = _weighted_means(z, responsibilities)
        centred = (z - mean for mean in means)
        return means, torch.stack([(s[:, None] * c).T @ c for s, c in zip(share.T, centred)])

    def covariances(self) -> Tensor:
        factor = self.scale_tril()
        with without_autocast(factor.device):
            return factor @ factor.mT

    def standard_draw(self, component: Tensor, noise: Tensor) -> Tensor:
        with without_autocast(noise.device):
            return self.means[component] + (self.scale_tril()[component] @ noise.unsqueeze(-1)).squeeze(-1)


class SignedCholeskyMixture(CholeskyMixture):
    r"""The same components, with the parameters of the released code of Wang and Liu (2019).

    The factor is the lower triangle of ``raw`` itself, whose diagonal may cross zero. The covariance does not change
    with the sign of a column, so L has columns of negative diagonal turned, and 1e-4 on its diagonal. A scale of
    hundredths is near in these parameters and far in those of a softplus, which matters where steps are of one size.

    Parameters
    ----------
    n_components, n_features : int
        m and d.
    learn_weights : bool, default=True
        Whether the weights are parameters or stay uniform.
    """

    def scale_tril(self) -> Tensor:
        raw = self.raw_tril.tril()
        diagonal = raw.diagonal(dim1=-2, dim2=-1)
        turned = raw * torch.where(diagonal < 0, -1.0, 1.0).to(raw)[..., None, :]
        return turned + torch.diag_embed(torch.full_like(diagonal, SMALLEST_SIGNED))

    @torch.no_grad()
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        super().set_moments_(means, covariances)
        factor = CholeskyMixture.scale_tril(self)
        self.raw_tril.copy_(factor - torch.diag_embed(torch.full_like(factor[..., 0], SMALLEST_SIGNED)))


class UnitMixture(AbstractMixture):
    r"""Components :math:`N(\mu_c, I)`; a particle is :math:`\mu_c`.

    Parameters
    ----------
    n_components, n_features : int
        m and d.
    learn_weights : bool, default=True
        Whether the weights are parameters or stay uniform.
    """

    def __init__(self, n_components: int, n_features: int, learn_weights: bool = True) -> None:
        super().__init__(n_components, n_features, learn_weights)
        self.means = nn.Parameter(torch.zeros(n_components, n_features))

    def component_log_prob(self, z: Tensor) -> Tensor:
        return diagonal_log_prob(z, self.means, torch.zeros_like(self.means))

    def component_parameters(self) -> list[nn.Parameter]:
        return [self.means]

    def expected_component_log_prob(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return self.component_log_prob(mean) - 0.5 * log_var.exp().sum(-1, keepdim=True)

    @torch.no_grad()
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        self.means.copy_(means)

    def moments_(self, z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
        means = _weighted_means(z, responsibilities)[1]
        return means, torch.ones_like(means)

    def covariances(self) -> Tensor:
        return torch.diag_embed(torch.ones_like(self.means))

    def standard_draw(self, component: Tensor, noise: Tensor) -> Tensor:
        return self.means[component] + noise


def _jittered_cholesky(covariances: Tensor) -> Tensor:
    """Factorise (m, d, d) in float64 with the least jitter, from 1e-6 of the mean variance upwards, that works."""
    wide = covariances.double()
    eye = torch.eye(wide.shape[-1], dtype=wide.dtype, device=wide.device)
    scale = wide.diagonal(dim1=-2, dim2=-1).mean(-1).clamp(min=1e-6)[:, None, None]
    jitter = 1e-6
    factor, failed = torch.linalg.cholesky_ex(wide + jitter * scale * eye)
    while bool(failed.any()) and jitter < 1.0:
        jitter *= 10
        factor, failed = torch.linalg.cholesky_ex(wide + jitter * scale * eye)
    return factor.to(covariances.dtype)


COVARIANCES: dict[str, type[AbstractMixture]] = {
    "diag": DiagonalMixture,
    "full": CholeskyMixture,
    "unit": UnitMixture,
}
"""The families by scikit-learn's words; "unit" is ours."""
