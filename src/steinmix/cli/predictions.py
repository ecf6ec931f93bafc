"""What a model says of rows, as the columns of a table, block by block."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .._typing import Source
from ..data.prepare import check_finite
from ..errors import DataError, SteinmixWarning
from ..training.loader import CHUNK_ROWS
from .outputs import Table

__all__ = [
    "BLOCK_ROWS",
    "Summary",
    "block_rows",
    "blocks",
    "has_clusters",
    "is_detector",
    "rows_sha256",
    "scores",
    "tell_unscored",
    "write_predictions",
]

BLOCK_ROWS, BLOCK_BYTES = 16_384, 2**24
"""Largest block."""


def block_rows(row_bytes: int) -> int:
    """Return the rows of a block, fewer of wide data: a multiple of what a model reads at once."""
    wanted = min(BLOCK_ROWS, BLOCK_BYTES // row_bytes)
    return max(CHUNK_ROWS, wanted // CHUNK_ROWS * CHUNK_ROWS)


def blocks(rows: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield row numbers (b,) and rows (b, f), in their order; a model would name what is not finite by its block."""
    for index, block in rows.blocks(block_rows(rows.n_features * rows.dtype.itemsize)):
        check_finite(block, index, rows.feature_names)
        yield index, block


class Summary:
    """Sums over the rows of predictions: what is left of them when they do not fit into memory.

    Attributes
    ----------
    n_rows : int
    n_scored : int
        Rows with a finite score.
    rows_sha256 : str
        Digest of the rows themselves, in their order.
    """

    def __init__(self) -> None:
        self.n_rows = self.n_scored = 0
        self._score = 0.0
        self._digest = hashlib.sha256()
        self._flagged: int | None = None
        self._hard: Any = None
        self._soft: Any = None

    def add(self, block: np.ndarray, columns: Mapping[str, np.ndarray], proba: np.ndarray | None) -> None:
        """Take a block of rows and what is said of them into account."""
        self._digest.update(np.ascontiguousarray(block).data)
        self.n_rows += len(columns["score"])
        scored = np.isfinite(columns["score"])
        self.n_scored += int(scored.sum())
        self._score += float(columns["score"].sum(where=scored))
        if "outlier" in columns:
            self._flagged = (self._flagged or 0) + int(columns["outlier"].sum())
        if proba is not None:
            hard, soft = np.bincount(columns["label"], minlength=proba.shape[1]), proba.sum(axis=0)
            self._hard, self._soft = (hard, soft) if self._hard is None else (self._hard + hard, self._soft + soft)

    @property
    def rows_sha256(self) -> str:
        return self._digest.hexdigest()

    def metrics(self) -> dict[str, Any]:
        """Return the mean of the finite scores and, of clusters, how the rows are shared out; no labels are needed."""
        found: dict[str, Any] = {"mean_score": self._score / self.n_scored if self.n_scored else None}
        if self._flagged is not None:
            found["flagged"] = self._flagged / self.n_rows
        if self._soft is None:
            return found
        from ..metrics import effective_components

        soft = self._soft / self._soft.sum()
        return found | {
            "effective_components": effective_components(soft[None]),
            "occupancy": soft.tolist(),
            "hard_occupancy": (self._hard / self.n_rows).tolist(),
        }


def has_clusters(model: Any) -> bool:
    """Whether the model gives labels and probabilities, or only codes."""
    return hasattr(model, "predict_proba")


def is_detector(model: Any) -> bool:
    """Whether the model flags outliers."""
    return hasattr(model, "offset_")


def write_predictions(model: Any, rows: Source, table: Table, start: np.ndarray | None = None) -> Summary:
    """Fill a table: row, label, start_label, p0, p1, ..., score; without clusters row, z0, ..., score.

    Detectors have one more column, `outlier`: 1 for rows that are flagged.

    Parameters
    ----------
    model : fitted estimator
    rows : Source of shape (n, f)
    table : Table
    start : ndarray (n,), optional
        Labels the model was started from, for the rows it was fitted on.

    Returns
    -------
    Summary

    Raises
    ------
    DataError
        If a row has no finite probabilities.
    """
    summary = Summary()
    for index, block in blocks(rows):
        proba = model.predict_proba(block) if has_clusters(model) else None
        columns: dict[str, np.ndarray] = {"row": index.astype(np.int64)}
        if proba is not None:
            _check_proba(proba, index)
            columns["label"] = proba.argmax(axis=1).astype(np.int64)
            columns |= {} if start is None else {"start_label": start[index].astype(np.int64)}
            columns |= {f"p{k}": proba[:, k] for k in range(proba.shape[1])}
        else:
            codes = model.transform(block)
            columns |= {f"z{k}": codes[:, k] for k in range(codes.shape[1])}
        columns["score"] = _scored(model, block)
        if is_detector(model):
            columns["outlier"] = (columns["score"] < model.offset_).astype(np.int64)
        summary.add(block, columns, proba)
        table.append(columns)
    tell_unscored(summary.n_rows - summary.n_scored, summary.n_rows)
    return summary


def _check_proba(proba: np.ndarray, index: np.ndarray) -> None:
    bad = ~np.isfinite(proba).all(axis=1)
    if bad.any():
        raise DataError(
            f"row {index[bad.argmax()]} has no finite probabilities: its values are too far from the rows of the fit. "
            "Mend it or leave it out; nothing was written."
        )


def _scored(model: Any, block: np.ndarray) -> np.ndarray:
    """Return scores (b,), -inf for rows so far off that the model has no number for them."""
    found = model.score_samples(block)
    return np.where(np.isfinite(found), found, -np.inf)


def tell_unscored(count: int, n_rows: int) -> None:
    """Warn of rows without a finite score."""
    if count:
        text = f"{count} of {n_rows} rows are too far from those of the fit for a finite score"
        warnings.warn(f"{text}; they get -inf, and count as outliers.", SteinmixWarning, stacklevel=2)


def rows_sha256(rows: Source) -> str:
    """Return the digest of all rows that a `Summary` of them has."""
    digest = hashlib.sha256()
    for _, block in blocks(rows):
        digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def scores(model: Any, rows: Source) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield row numbers (b,) and scores (b,); high is normal."""
    for index, block in blocks(rows):
        yield index, _scored(model, block)
