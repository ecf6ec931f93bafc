"""What every mixture has. A subclass gives `component_log_prob`; the rest follows here, once, in log space."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..numerics.precision import without_autocast
from ..particles import Particles

__all__ = ["AbstractMixture"]

REDRAWS = 1000
"""Times that a point without the posterior asked for is drawn anew."""


class AbstractMixture(nn.Module, ABC):
    r"""Mixture :math:`\sum_c \pi_c\, p(z \mid c)` of m components of one family.

    Parameters
    ----------
    n_components, n_features : int
        m and d.
    learn_weights : bool, default=True
        Whether the weights are parameters or stay uniform, as the Nonlinear SVGD paper has them.
    """

    weight_power = 1.0
    """Power of a weight in p(c | z): 1 by Bayes' rule, else as some released code has it. Densities ignore it."""

    def __init__(self, n_components: int, n_features: int, learn_weights: bool = True) -> None:
        super().__init__()
        self.n_components, self.n_features = n_components, n_features
        logits = torch.zeros(n_components)
        if learn_weights:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits)

    @abstractmethod
    def component_log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log p(z \mid c)`, (b, m), for points `z` (b, d)."""

    @abstractmethod
    def component_parameters(self) -> list[nn.Parameter]:
        """Return the parameters whose first axis counts the components, weights aside."""

    @abstractmethod
    def expected_component_log_prob(self, mean: Tensor, log_var: Tensor) -> Tensor:
        r"""Return :math:`E_{z \sim N(\mu, \sigma^2)} \log p(z \mid c)`, (b, m), in closed form.

        Parameters
        ----------
        mean, log_var : Tensor (b, d)
        """

    @abstractmethod
    def set_moments_(self, means: Tensor, covariances: Tensor) -> None:
        """Set the components' means (m, d) and covariances (m, d, d) or variances (m, d)."""

    @abstractmethod
    def moments_(self, z: Tensor, responsibilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weighted means (m, d) and (co)variances of points `z` (n, d), as `set_moments_` takes them."""

    def component_means(self) -> Tensor:
        """Return the means, (m, d)."""
        return self.component_parameters()[0]

    @abstractmethod
    def covariances(self) -> Tensor:
        """Return the covariance matrices, (m, d, d)."""

    @abstractmethod
    def standard_draw(self, component: Tensor, noise: Tensor) -> Tensor:
        """Turn standard normal `noise` (n, d) into draws from the components (n,)."""

    def project_(self) -> None:
        """Bring the parameters back into their domain after an optimiser step."""

    def log_weights(self) -> Tensor:
        r"""Return :math:`\log \pi`, (m,)."""
        return torch.log_softmax(self.logits, dim=-1)

    def joint_log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log \pi_c + \log p(z \mid c)`, (b, m)."""
        return self.component_log_prob(z) + self.log_weights().unsqueeze(-2)

    def assignment_log_prob(self, z: Tensor) -> Tensor:
        r"""Return numbers (b, m) whose softmax is :math:`p(c \mid z)`: `joint_log_prob` if `weight_power` is 1."""
        return self.component_log_prob(z) + self.weight_power * self.log_weights().unsqueeze(-2)

    def log_prob(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log \sum_c \pi_c\, p(z \mid c)`, (b,)."""
        return torch.logsumexp(self.joint_log_prob(z), dim=-1)

    def log_responsibilities(self, z: Tensor) -> Tensor:
        r"""Return :math:`\log p(c \mid z)`, (b, m)."""
        return torch.log_softmax(self.assignment_log_prob(z), dim=-1)

    def responsibilities(self, z: Tensor) -> Tensor:
        r"""Return :math:`p(c \mid z)`, (b, m)."""
        return torch.softmax(self.assignment_log_prob(z), dim=-1)

    def variance(self) -> Tensor:
        """Return the variance of each coordinate of the whole mixture, (d,)."""
        weights, means = self.log_weights().exp().unsqueeze(-1), self.component_means()
        within = self.covariances().diagonal(dim1=-2, dim2=-1)
        return (weights * (within + (means - (weights * means).sum(-2, keepdim=True)).square())).sum(-2)

    def particles(self) -> Particles:
        """Return the components as particles: one row holds all parameters of one component, its weight aside.

        Axes that stand before m, those of a stack of restarts, count as leading ones.
        """
        return Particles(self.component_parameters(), batch_dims=self.logits.ndim - 1)

    @torch.no_grad()
    def sample_component(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw `n` component numbers (n,) by their weights."""
        return torch.multinomial(self.log_weights().exp(), n, replacement=True, generator=generator)

    @torch.no_grad()
    def sample(self, component: Tensor, generator: torch.Generator, min_posterior: float = 0.0) -> Tensor:
        """Draw one point from each of the components (n,); returns (n, d).

        Points whose responsibility of their own component is below `min_posterior` are drawn anew.

        Raises
        ------
        ConfigError
            If a component hardly has such points.
        """
        points, again = self._draw(component, generator), torch.arange(len(component), device=component.device)
        for _ in range(REDRAWS + 1):
            again = again[self._own(points[again], component[again]) < min_posterior]
            if not len(again):
                return points
            points[again] = self._draw(component[again], generator)
        raise ConfigError(
            f"{REDRAWS} draws of component {int(component[again[0]])} gave no point with a posterior of "
            f"{min_posterior}; ask for a lower min_posterior."
        )

    def _own(self, points: Tensor, component: Tensor) -> Tensor:
        """Return how far each point belongs to the component (n,) it is drawn from, (n,)."""
        return self.responsibilities(points).gather(-1, component.unsqueeze(-1)).squeeze(-1)

    def _draw(self, component: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(component), self.n_features)
        noise = torch.randn(shape, generator=generator, dtype=self.logits.dtype, device=self.logits.device)
        return self.standard_draw(component, noise)

    @torch.no_grad()
    def m_step_(self, z: Tensor, responsibilities: Tensor) -> None:
        """Set every parameter to its maximum-likelihood value for given responsibilities (n, m) of points (n, d).

        Full covariances have a millionth of their mean variance added to the diagonal, more if that does not do.
        An empty component keeps its parameters' place by falling back on the moments of all points.
        """
        mass = responsibilities.sum(0)
        with without_autocast(z.device):
            means, covariances = self.moments_(z, responsibilities)
            empty = mass < 1e-3
            if bool(empty.any()):
                everything = self.moments_(z, torch.ones_like(responsibilities[:, :1]))
                means[empty], covariances[empty] = everything[0][0], everything[1][0]
        self.set_moments_(means, covariances)
        if isinstance(self.logits, nn.Parameter):
            self.logits.copy_((mass / mass.sum()).clamp(min=1e-8).log())
