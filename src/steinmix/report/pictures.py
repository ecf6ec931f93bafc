"""The pictures that records hold, drawn: maps of codes, by class and by cluster, and galleries of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..experiments import Experiment, Row
from ..experiments.pictures import unpack
from ..experiments.records import Key, RunRecord
from ..experiments.tables import by_row, records_of_row
from ..metrics import best_matching
from .figures import galleries, require_for_report, small_maps

__all__ = ["draw_pictures"]

Titled = Sequence[tuple[str, Mapping[str, Any]]]
"""Pictures with the titles they get."""


def draw_pictures(experiment: Experiment, records: Mapping[Key, RunRecord], rows: Iterable[Row]) -> dict[str, str]:
    """Return the pictures of the first seed of each row as SVG, by name: one figure for each data set and kind.

    Raises
    ------
    DataError
        If a record holds none where it says so.
    """
    require_for_report("matplotlib")
    groups = by_row(records.values())
    found: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for row in rows:
        first = min(records_of_row(groups, row), key=lambda record: record.seed, default=None)
        for picture in () if first is None else first.settings.get("pictures", ()):
            title = ": ".join(filter(None, (row.name.partition("/")[2], picture["title"])))
            found.setdefault((row.data, picture["kind"]), []).append((title, picture))
    names = {key: f"{experiment.stem}-{key[1]}-{key[0]}" for key in found}
    return {names[key]: DRAWN[key[1]](shown, names[key]) for key, shown in found.items() if key[1] in DRAWN}


def _maps(shown: Titled, name: str) -> str:
    """Draw two lines: classes above, clusters below in the colours of the classes they match best."""
    above, below = [], []
    for title, picture in shown:
        points, classes, clusters = (unpack(picture[part]) for part in ("points", "classes", "clusters"))
        above.append((title, points.astype(np.float64), classes))
        below.append((title, points.astype(np.float64), _in_colours_of(classes, clusters)))
    return small_maps({"by class": above, "by cluster": below}, name)


def _in_colours_of(classes: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return the clusters by the numbers of their classes; those left without one get the next numbers."""
    names = best_matching(classes, clusters)
    free = iter(range(int(classes.max()) + 1, 1000))
    names |= {cluster: next(free) for cluster in np.unique(clusters).tolist() if cluster not in names}
    return np.array([names[cluster] for cluster in clusters.tolist()])


def _galleries(shown: Titled, name: str) -> str:
    return galleries([(title, unpack(picture["images"])) for title, picture in shown], 2, name)


DRAWN: Mapping[str, Callable[[Titled, str], str]] = {"map": _maps, "gallery": _galleries}
