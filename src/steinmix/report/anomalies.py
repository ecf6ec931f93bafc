"""What is said of outliers: how many rows are flagged, and which are the most unusual, by what."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data.sources import as_source
from .records import Rows

__all__ = ["LISTED", "unusual_rows"]

LISTED = 12
COLUMNS = 3


def unusual_rows(model: Any, rows: Rows) -> dict[str, Any]:
    """Return the share of rows that are flagged and the `LISTED` rows of lowest score, the lowest first.

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
    return {"flagged": flagged, "offset": model.offset_, "listed": listed}


def _missed(rows: Rows, i: int, rebuilt: np.ndarray) -> list[dict[str, Any]]:
    gap = rows.prepared[i] - rebuilt
    worst = np.argsort(-np.abs(gap), kind="stable")[:COLUMNS]
    return [{"name": rows.names[j], "value": float(rows.raw[i, j]), "gap": float(gap[j])} for j in worst.tolist()]
