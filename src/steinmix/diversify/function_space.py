r"""Particles seen as the functions that they make.

Where a component is the output of a network, its particle, the weights of a head, says little: weights move far apart
in directions that no input excites, while the components they make stay one. A kernel can look at what the head gives
at some inputs instead. With `values` :math:`u_j = u(\theta_j)`, which have the Jacobian :math:`J_j`, and features
:math:`f(u)`,

.. math:: k(\theta_j, \theta_i) = \kappa(f(u_j), f(u_i)), \qquad
          \nabla_{\theta_j} k(\theta_j, \theta_i) = J_j^\top \big( f'(u_j) \odot w_{ij} (f(u_i) - f(u_j)) \big),

which is the gradient of `steinmix.diversify.features`, pulled back. The sum over j takes one pass backward for each i;
of a linear map, whose Jacobian is the same for all, one pass in all. The gradients of F that are smoothed stay those
with respect to theta. Kernels on function values are those of Z. Wang, T. Ren, J. Zhu, B. Zhang, *Function Space
Particle Optimization for Bayesian Neural Networks*, ICLR 2019 (key ``wang2019function``), which pulls back by the
Jacobian of particle i in place of j; here f bends, and that way is the weaker one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from .._params import Configuration
from ..errors import ConfigError
from ..numerics.precision import widened, without_autocast
from .base import Diversifier
from .features import OnFeatures, Wasserstein
from .penalties import LogDet

__all__ = ["FunctionSpace", "in_function_space"]

Given = TypeVar("Given", bound=Diversifier | None)


@dataclass
class FunctionSpace(Configuration):
    """Kernel over what particles give at some inputs.

    Parameters
    ----------
    kernel : Wasserstein or Standardised
        Of particles that are `values`; a bandwidth that is a length is compared with distances over all inputs.
    values : callable
        Map of particles ``(m, p)`` to ``(m, q)``, row by row, that torch can differentiate: what `kernel` takes for
        particles. With its family "diag" these are means at all inputs and then logarithms of variances at all inputs;
        plain outputs of a network have the family "unit".
    linear : bool, default=False
        Whether `values` is a linear map, plus a constant or not, the same for each particle: that takes one pass
        backward, not m. It is not checked, and directions are wrong where it is not so.
    """

    kernel: OnFeatures
    values: Callable[[Tensor], Tensor]
    linear: bool = False

    def matrices(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Refuse, as `kernel` does."""
        return self.kernel.matrices(theta)

    def direction(self, theta: Tensor, ascent: Tensor, strength: float | Tensor, normalised: bool = False) -> Tensor:
        """Return the direction ``(m, p)``, as `Kernel` has it."""
        seen, leaf = self._seen(theta)
        with without_autocast(theta.device):
            k, pulled = (self._together if self.linear else self._singly)(seen, leaf)
            phi = k @ widened(ascent) + strength * pulled
        return (phi / k.sum(-1, keepdim=True) if normalised else phi).to(theta.dtype)

    def apart(self, theta: Tensor) -> Tensor:
        """Return what a penalty ascends, ``(m, p)``, as `OnFeatures.apart` has it; in one pass backward."""
        seen, leaf = self._seen(theta)
        return torch.autograd.grad(seen, leaf, self.kernel.apart(seen.detach()))[0].to(theta.dtype)

    def _seen(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values of particles, and the particles that they are differentiated by."""
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            return widened(_checked(self.values(leaf), len(theta))), leaf

    def _together(self, seen: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and the repulsion: with one Jacobian for all, what is pulled back is the sum over j."""
        k, away = self.kernel.parts(seen.detach())
        return k, torch.autograd.grad(seen, theta, away)[0]

    def _singly(self, seen: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same where each j has a Jacobian of its own: the sum comes after it."""
        k, gradients = self.kernel.gradients(seen.detach())
        pulled = [torch.autograd.grad(seen, theta, each, retain_graph=True)[0].sum(-2) for each in gradients]
        return k, torch.stack(pulled, dim=-2)


def _checked(seen: Any, m: int) -> Tensor:
    """Return what `values` gave; tell what is not (m, q), or has lost its way back to the particles."""
    if not isinstance(seen, Tensor) or seen.ndim != 2 or len(seen) != m:
        got = f"shape {tuple(seen.shape)}" if isinstance(seen, Tensor) else f"a {type(seen).__name__}"
        raise ConfigError(f"values gave {got} for {m} particles; expected a tensor ({m}, q), one row per particle.")
    if not seen.requires_grad:
        raise ConfigError("values gave a tensor without a gradient; compute it from the particles, without detaching.")
    return seen


def in_function_space(
    diversifier: Given, values: Callable[[Tensor], Tensor], family: str = "diag", linear: bool = False
) -> Given:
    """Return a diversifier whose kernel compares `values` of particles, as `FunctionSpace` has them.

    A radial kernel sees them as normals, by `Wasserstein`. A prior still acts on the particles themselves.

    Parameters
    ----------
    diversifier : Diversifier or None
        With a ``kernel``, or around one that has; it is not changed. Another is returned as it is, and so is `LogDet`,
        which has no such gradient.
    values : callable
        Particles (m, p) -> (m, 2 s d), row by row: means at s inputs, then log-variances there.
    family : {"diag", "unit", "full", "cholesky"}, default="diag"
        What a radial kernel takes `values` for; one that has a family keeps its own. Plain outputs of a network have
        "unit": by "diag" half of them would be exponentiated.
    linear : bool, default=False
        Whether `values` is a linear map, which is faster; see `FunctionSpace`.

    Raises
    ------
    ConfigError
        If the kernel cannot be taken there.

    Examples
    --------
    Slopes of two lines that differ much, and values at small inputs that do not:

    >>> import torch
    >>> from steinmix import NSVGD, Particles
    >>> slopes = torch.tensor([[0.0, 0.0], [5.0, 0.0]], requires_grad=True)     # of means, of log-variances
    >>> at = in_function_space(NSVGD(), lambda theta: theta * 0.01)
    >>> Particles([slopes]).diversify_(at)
    >>> bool(slopes.grad[0, 0] > 0 > slopes.grad[1, 0])
    True
    """
    if not is_dataclass(diversifier) or isinstance(diversifier, type | LogDet):
        return diversifier
    own: dict[str, Any] = {}
    if (kernel := getattr(diversifier, "kernel", None)) is not None:
        own["kernel"] = _placed(kernel, values, family, linear)
    if (inner := getattr(diversifier, "diversifier", None)) is not None:
        own["diversifier"] = in_function_space(inner, values, family, linear)
    return replace(diversifier, **own)


def _placed(kernel: Any, values: Callable[[Tensor], Tensor], family: str, linear: bool) -> Any:
    if isinstance(kernel, FunctionSpace):
        return kernel
    if isinstance(kernel, OnFeatures):
        return FunctionSpace(kernel, values, linear)
    if hasattr(kernel, "family"):
        name = type(kernel).__name__
        raise ConfigError(f"{name} treats parts of a particle apart, which heads of a network do not have; use RBF.")
    return FunctionSpace(Wasserstein(kernel, family), values, linear)
