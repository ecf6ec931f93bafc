"""Arcs of five circles: two-dimensional rows whose clusters are bent."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ConfigError
from ...random import Streams, seed_of
from ._card import Card, hand_out

__all__ = ["load_arcs"]

_CARD = Card(
    name="arcs",
    title="Arcs of five circles (pinwheel)",
    source="generated",
    licence="as this library",
    size="10,000 rows x 2 columns, 5 classes (by default)",
    preparation="points at uniform angle on one arc of each of five circles, which meet near the origin, "
    "with Gaussian noise. The GMVAE paper gives no formula: radius and extent of the arcs were chosen so "
    "that the spread and the quantiles of the distance from the origin (5, 50, 95 %: 0.41, 0.72, 0.94) agree "
    "with the file its authors ship",
    citation="N. Dilokthanakul et al. Deep unsupervised clustering with Gaussian mixture variational "
    "autoencoders. arXiv:1611.02648, 2016. After the pinwheel of M. Johnson et al. Composing graphical "
    "models with neural networks for structured representations and fast inference. NIPS, 2016.",
)
# Circles of this radius go through the origin; the point at angle phi is 2 R sin(phi / 2) away from it.
_RADIUS = 0.525
_EXTENT = (0.72, 2.30)


def load_arcs(
    *,
    n_samples: int = 10_000,
    n_arcs: int = 5,
    noise: float = 0.02,
    random_state: int | np.random.RandomState | None = 0,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Any:
    """Generate points on arcs of circles, the synthetic data of the GMVAE paper.

    Source: generated. Licence: as this library. Size: 10,000 rows, 2 columns, 5 classes by default. It
    imitates the file that the authors ship (5,000 rows); the paper has no formula, the constants are ours.

    Parameters
    ----------
    n_samples : int
        Rows, divided among the arcs as evenly as possible.
    n_arcs : int
        Number of arcs, which are the classes.
    noise : float
        Standard deviation of the noise on each coordinate.
    random_state : int, RandomState or None
        No global generator is used.
    return_X_y : bool
        Return (data, target) only.
    as_frame : bool
        Return pandas objects.

    Returns
    -------
    Bunch
        ``data`` (n_samples, 2) float32 in random order; ``target`` (n_samples,), the arc.

    Examples
    --------
    >>> load_arcs(n_samples=100).data.shape
    (100, 2)
    """
    if n_arcs < 1 or n_samples < n_arcs or noise < 0:
        raise ConfigError(f"Got {n_samples=}, {n_arcs=}, {noise=}; expected n_samples >= n_arcs >= 1 and noise >= 0.")
    rng = Streams(seed_of(random_state)).numpy("data")
    target = rng.permutation(np.arange(n_samples) % n_arcs)
    start = 2 * np.pi * target / n_arcs
    phi = rng.uniform(*_EXTENT, size=n_samples)
    # The circle's centre lies at angle `start`; the arc leaves the origin along its rim.
    around = start + np.pi + phi
    centre = np.stack([np.cos(start), np.sin(start)], axis=1)
    points = _RADIUS * (centre + np.stack([np.cos(around), np.sin(around)], axis=1))
    data = (points + noise * rng.standard_normal((n_samples, 2))).astype(np.float32)
    return hand_out(
        _CARD,
        data,
        target,
        feature_names=["x", "y"],
        target_names=[f"arc_{k}" for k in range(n_arcs)],
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
