"""What a generative model makes of the space between its clusters and of its styles, as strips of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..estimator import ConditionalShell
from .cards import CARDS, grey_range
from .figures import strip
from .records import Rows, has_network

__all__ = ["generated"]

STEPS = 9
STYLES = 2
"""Coordinates of the style that are shown: those that change the pictures most."""


def generated(model: Any, rows: Rows, side: int | None) -> dict[str, Any] | None:
    """Return the strips of a deep mixture over images (side, side); None for tables, and where no network generates."""
    if side is None or not has_network(model):
        return None
    grey = grey_range(rows)
    between = [
        {"pair": pair, "image": strip(model.interpolate(*pair, steps=STEPS), side, *grey)}
        for pair in _nearest_pairs(model, rows.by_size[:CARDS])
    ]
    return {"between": between, "styles": _styles(model, side, grey), "steps": STEPS}


def _nearest_pairs(model: Any, components: np.ndarray) -> list[tuple[int, int]]:
    """Return each of the components with the one whose mean is nearest, no pair twice."""
    means = model.module_.mixture.component_means().detach().double().cpu().numpy()[components]
    distance = np.linalg.norm(means[:, None] - means, axis=-1)
    np.fill_diagonal(distance, np.inf)
    pairs = enumerate(distance.argmin(axis=1).tolist()) if len(components) > 1 else ()
    return sorted({(min(a, b), max(a, b)) for a, b in ((int(components[i]), int(components[j])) for i, j in pairs)})


def _styles(model: Any, side: int, grey: tuple[float, float]) -> list[dict[str, Any]]:
    if not isinstance(model, ConditionalShell):
        return []
    strongest = np.argsort(-model.style_effects(), kind="stable")[:STYLES]
    return [
        {"coordinate": i, "image": strip(model.sweep_style(i, STEPS)[:CARDS], side, *grey)} for i in strongest.tolist()
    ]
