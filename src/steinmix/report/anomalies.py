"""What is said of outliers: how many rows are flagged, and which are the most unusual, by what."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.sources import as_source
from ..metrics import marks_outliers
from .figures import score_histogram
from .records import Rows

__all__ = ["LISTED", "unusual_rows"]

LISTED = 12
COLUMNS = 3


def unusual_rows(model: Any, rows: Rows) -> dict[str, Any]:
    """Return the share of rows that are flagged, all scores as a figure, and the `LISTED` lowest, the lowest first.

    Of each row the columns are named that its reconstruction misses by most, in the units of the scaling.
    """
    held = as_source(rows.raw)
    scores = model.score_samples(held)
    lowest = np.argsort(scores, kind="stable")[:LISTED]
    rebuilt = model._map(model.module_.reconstruct, as_source(rows.raw[lowest]))
    listed = [
        {"row": int(rows.index[i]), "score": float(scores[i]), "columns": _missed(rows, i, rebuilt[j])}
        for j, i in enumerate(lowest.tolist())
    ]
    flagged = float((scores < model.offset_).mean())
    drawn = score_histogram(_groups(rows, scores), model.offset_, "scores")
    return {"flagged": flagged, "offset": model.offset_, "listed": listed, "svg": drawn}


def _groups(rows: Rows, scores: np.ndarray) -> dict[str, np.ndarray]:
    if rows.truth is None or not marks_outliers(rows.truth):
        return {"rows": scores}
    return {"other rows": scores[rows.truth == 0], "your outliers": scores[rows.truth == 1]}


def _missed(rows: Rows, i: int, rebuilt: np.ndarray) -> list[dict[str, Any]]:
    gap = rows.prepared[i] - rebuilt
    worst = np.argsort(-np.abs(gap), kind="stable")[:COLUMNS]
    return [{"name": rows.names[j], "value": float(rows.raw[i, j]), "gap": float(gap[j])} for j in worst.tolist()]
