"""Particles: the parameters of m exchangeable components as the rows of one matrix.

This file holds the one place of the library where a sign is turned. Optimisers *minimise* and store the gradient
of a loss; a diversifier speaks *ascent* only. `Particles.diversify_` translates, both ways, in one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .errors import ConfigError

__all__ = ["Particles"]


class Particles:
    """Parameters that share a leading dimension m, seen as the rows of a matrix (m, p).

    Parameters
    ----------
    parameters : iterable of Tensor ``(*r, m, ...)``
        Leaf tensors whose first axis (after `batch_dims` leading ones) counts the components: means,
        log-variances, Cholesky factors. They are kept by reference.
    batch_dims : int, default=0
        How many axes (restarts, a grid of alphas) stand before m.

    Raises
    ------
    ConfigError
        If they are no list of tensors, one is computed from others or comes twice, or their leading axes differ.

    Examples
    --------
    A mixture and a loop of your own need two lines:

    >>> import torch
    >>> from steinmix import NSVGD, Particles
    >>> means = torch.tensor([[0.0], [1.0]], requires_grad=True)
    >>> theta = Particles([means])
    >>> loss = 0 * means.sum()
    >>> loss.backward(); theta.diversify_(NSVGD(alpha=1.0))
    >>> bool(means.grad[0] > 0 > means.grad[1])         # minimising moves the two apart
    True
    """

    def __init__(self, parameters: Iterable[Tensor], batch_dims: int = 0) -> None:
        self.parameters = _tensors(parameters)
        self.batch_dims = batch_dims
        if not isinstance(batch_dims, int) or batch_dims < 0:
            raise ConfigError(f"batch_dims is {batch_dims!r}; expected how many axes stand before m, 0 or more.")
        leading = {tuple(p.shape[: batch_dims + 1]) for p in self.parameters}
        if len(leading) > 1 or any(p.ndim <= batch_dims for p in self.parameters):
            shapes = ", ".join(str(tuple(p.shape)) for p in self.parameters)
            raise ConfigError(
                f"Particles got parameters of shapes {shapes}; their first {batch_dims + 1} axes must agree "
                "(one row per component)."
            )

    def __len__(self) -> int:
        return self.parameters[0].shape[self.batch_dims]

    def __repr__(self) -> str:
        return f"Particles(m={len(self)}, p={sum(self._lengths())})"

    def rows(self) -> Tensor:
        """Return the particles as a new matrix ``(*r, m, p)``, detached."""
        return self._matrix(p.detach() for p in self.parameters)

    def diversify_(self, diversifier: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Replace the loss gradient of every parameter by what the diversifier makes of it, in place.

        A parameter without a gradient counts as one with gradient zero; one that does not learn is left alone. With a
        torch ``GradScaler`` call ``scaler.unscale_(optimizer)`` first, clip afterwards: gradients that are still scaled
        divide the strength of the repulsion by the scale.

        Parameters
        ----------
        diversifier : callable
            (particles ``(*r, m, p)``, ascent ``(*r, m, p)``) -> direction ``(*r, m, p)``, as `steinmix.NSVGD` is one.

        Raises
        ------
        ConfigError
            If it is a class or cannot be called, or gives no direction of the particles' shape.
        """
        if isinstance(diversifier, type):
            name = diversifier.__name__
            raise ConfigError(f"diversifier is the class {name}; expected an object, {name}().")
        if not callable(diversifier):
            raise ConfigError(f"diversifier is {diversifier!r}; expected an object, NSVGD() or NoDiversity().")
        gradient = self._matrix(torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters)
        # The only minus signs of the library: loss gradient -> ascent -> diversified ascent -> loss gradient.
        direction = diversifier(self.rows(), -gradient)
        if (shape := getattr(direction, "shape", None)) != gradient.shape:
            got = type(direction).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ConfigError(f"the diversifier gave {got}; expected a direction of shape {tuple(gradient.shape)}.")
        self._store(-direction)

    def _lengths(self) -> list[int]:
        return [p[(0,) * (self.batch_dims + 1)].numel() if p.numel() else 0 for p in self.parameters]

    def _matrix(self, tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([t.reshape(*t.shape[: self.batch_dims + 1], -1) for t in tensors], dim=-1)

    @torch.no_grad()
    def _store(self, gradient: Tensor) -> None:
        for parameter, part in zip(self.parameters, gradient.split(self._lengths(), dim=-1)):
            if not parameter.requires_grad and any(p.requires_grad for p in self.parameters):
                continue  # frozen: an optimiser would move whatever has a gradient
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(part.reshape(parameter.shape))


def _tensors(given: Any) -> list[Tensor]:
    """Return the parameters as a list; refuse what a step would not move."""
    if isinstance(given, Tensor) or not isinstance(given, Iterable):
        raise ConfigError(f"Particles got a {type(given).__name__}; give a list of tensors, Particles([means]).")
    parameters = list(given)
    if not parameters or not all(isinstance(p, Tensor) for p in parameters):
        raise ConfigError("Particles got no list of tensors; give at least one tensor of shape (m, ...).")
    if computed := [tuple(p.shape) for p in parameters if not p.is_leaf]:
        raise ConfigError(
            f"Particles got computed tensors of shapes {computed}; expected the parameters themselves, which an "
            "optimiser moves."
        )
    if len({id(p) for p in parameters}) < len(parameters):  # it would count twice, and its repulsion half
        shapes = [tuple(p.shape) for p in parameters]
        raise ConfigError(f"Particles got one tensor twice, among those of shapes {shapes}; give each tensor once.")
    return parameters
