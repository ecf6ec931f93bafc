"""The one-dimensional mixture of the Nonlinear SVGD paper, on the grids of its text and of its code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...errors import ConfigError
from ...random import Streams, seed_of
from ._card import Card, choice, hand_out

__all__ = ["load_toy"]

_CARD = Card(
    name="toy",
    title="One-dimensional Gaussian mixture on a grid",
    source="generated",
    licence="as this library",
    size="2,000 rows a component x 1 column, 6 classes (by default)",
    preparation="unit variance, equal weights, rows in random order",
    citation="D. Wang, Q. Liu. Nonlinear Stein variational gradient descent for learning diversified mixture "
    "models. ICML, 2019.",
)
_GRIDS: dict[str, Callable[[int, float], np.ndarray]] = {
    "centred": lambda m, spacing: spacing * (np.arange(m) - (m - 1) / 2),
    "code": lambda m, spacing: np.linspace(-spacing * m, spacing * m, m),
    "paper": lambda m, spacing: spacing * np.arange(1.0, m + 1),
}


def load_toy(
    *,
    n_components: int = 6,
    spacing: float = 4.0,
    grid: str = "centred",
    n_per_component: int = 2000,
    random_state: int | np.random.RandomState | None = 0,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Generate the toy mixture (1/m) sum_i N(mu_i, 1).

    Source: generated. Licence: as this library. Size: 2,000 rows a component, 1 column.

    Parameters
    ----------
    n_components : int
        The number m of components.
    spacing : float
        Delta.
    grid : {'centred', 'paper', 'code'}
        Where the means are: 'paper', Delta i for i = 1..m, as the text says; 'centred', the same grid about
        zero; 'code', m points evenly from -Delta m to Delta m, as the authors' code does (neighbours are then
        2 Delta m / (m - 1) apart, 2.4 Delta for m = 6).
    n_per_component : int
        Rows of each component.
    random_state : int, RandomState or None
        No global generator is used.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (n, 1) float64 in random order, n = m n_per_component; ``target`` (n,), the component;
        ``means`` (m,) and ``variances`` (m,) of the truth.

    Examples
    --------
    >>> load_toy(n_components=3, spacing=2.0, grid="paper").means
    array([2., 4., 6.])
    """
    choice("grid", grid, sorted(_GRIDS))
    if n_components < 1 or n_per_component < 1:
        raise ConfigError(f"Got {n_components=}, {n_per_component=}; expected at least 1 each.")
    rng = Streams(seed_of(random_state)).numpy("data")
    means = _GRIDS[grid](n_components, spacing)
    target = rng.permutation(np.repeat(np.arange(n_components), n_per_component))
    data = (means[target] + rng.standard_normal(len(target)))[:, None]
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=["x"],
        target_names=[f"component_{k}" for k in range(n_components)],
        return_X_y=return_X_y,
        as_frame=as_frame,
        means=means,
        variances=np.ones(n_components),
    )
