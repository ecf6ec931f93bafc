"""The null rows of a detector: what simpler ones, and its own network untrained, flag of the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..data.sources import as_source
from ..experiments.detectors import distinct, isolation_forest, mahalanobis, nearest
from ..metrics import anomaly_threshold, detection_scores, marks_outliers
from ..random import Streams
from .nulls import some_rows, untrained_module
from .records import Rows

__all__ = ["detections"]

REFERENCE_ROWS = 5_000
"""Rows, at most, whose neighbourhood and covariance the null rows know; all rows are scored."""

RANK = 6
"""Of the neighbour whose distance is taken; a row among the reference rows is its own first."""

BLOCK = 20_000


def detections(model: Any, rows: Rows, streams: Streams) -> Iterator[tuple[str, str, dict[str, float | None]]]:
    """Yield name, what the row is for, and how its flags agree with the method's, and with known outliers.

    Every row flags as many rows as the method does; equal scores at the threshold are not flagged.
    """
    scorings = list(_scorings(model, rows, streams))
    own = scorings[0][2] > -model.offset_
    for name, what, scores in scorings:
        threshold = -model.offset_ if scores is scorings[0][2] else _threshold(scores, own.mean())
        shared = float((scores > threshold)[own].mean()) if own.any() else None
        found: dict[str, float | None] = {"shared_flags": shared}
        if rows.truth is not None and marks_outliers(rows.truth):
            found |= detection_scores(rows.truth, scores, threshold=threshold)
            del found["threshold"]  # each row has a scale of its own
        yield name, what, found


def _threshold(scores: np.ndarray, share: float) -> float:
    return anomaly_threshold(scores, share) if 0 < share < 1 else -np.inf if share else np.inf


def _scorings(model: Any, rows: Rows, streams: Streams) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield name, what the row is for, and anomaly scores (k,)."""
    yield type(model).__name__, "The fitted model itself.", model.anomaly_score(as_source(rows.raw))
    what = "The same network with random weights, its moments those of the rows: what comes without any training."
    yield "untrained network", what, np.nan_to_num(_untrained(model, rows, streams))
    x = _standardised(rows.prepared)
    part = distinct(x[some_rows(len(x), REFERENCE_ROWS, streams)])
    of = f"{len(part):,} distinct rows" if len(part) < len(x) else "all rows"
    what = f"Distance to the neighbour of rank {RANK} among {of}, columns standardised: what needs no model at all."
    rank = min(RANK, len(part))
    yield "nearest neighbours", what, np.concatenate([nearest(part, block, 0, rank) for block in _blocks(x)])
    what = f"Mahalanobis distance under the covariance of {of}: one Gaussian."
    yield "Mahalanobis distance", what, np.concatenate([mahalanobis(part, block, 0) for block in _blocks(x)])
    what = "scikit-learn's isolation forest, 200 trees of at most 4,096 rows: no assumption on the shape of the rows."
    yield "isolation forest", what, isolation_forest(x, x, streams.integer("forest"))


def _untrained(model: Any, rows: Rows, streams: Streams) -> np.ndarray:
    module = untrained_module(model, streams)
    module.settle_([torch.from_numpy(block).to(model.preparation_.device) for block in _blocks(rows.prepared)])
    return -model._map(lambda x: module.score(x).double(), as_source(rows.raw))


def _standardised(x: np.ndarray) -> np.ndarray:
    deviation = x.std(0, dtype=np.float64)
    return ((x - x.mean(0, dtype=np.float64)) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def _blocks(x: np.ndarray) -> list[np.ndarray]:
    return [x[i : i + BLOCK] for i in range(0, len(x), BLOCK)]
