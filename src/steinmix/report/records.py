"""What a report looks at: the rows, or a random sample of them, as the fitted model sees them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._typing import Source
from ..data.sources import as_source
from ..errors import ConfigError, DataError
from ..estimator import DetectorShell, EmbedderShell, MixtureShell
from ..random import Streams

__all__ = ["SAMPLE_CELLS", "SAMPLE_ROWS", "Rows", "gather", "has_mixture", "has_network", "image_side", "is_detector"]

SAMPLE_ROWS = 100_000
SAMPLE_CELLS = 60_000_000
"""Of data with more rows, or more values, a random sample of that size is looked at; 70,000 x 784 still fits."""

SAME_MODEL = 0.99
"""Share of predictions that must equal the stored labels for rows to count as those the model was fitted on. Not 1: a
model that was fitted on another device may decide a few borderline rows differently."""

SMALLEST_SIDE = 5
"""Below it, rows are tables: a 4 x 4 picture shows nothing that 16 numbers do not."""

NUMBERED = re.compile(r"([A-Za-z]*)[ _.-]?\d+(?:[ _x,.-]\d+)?")


@dataclass(frozen=True)
class Rows:
    """Rows as the model sees them.

    Attributes
    ----------
    n_rows : int
        Rows of the data, of which k are held here.
    index : ndarray (k,)
        Their numbers, ascending.
    raw : ndarray (k, f)
        In the units and the type of the data.
    prepared : ndarray (k, f)
        As the network sees them, float32.
    points : ndarray (k, d)
        Codes; for a model without a network the prepared rows.
    log_joint : ndarray (k, m) or None
        Log of weight times density of each component at the points; None without a mixture.
    names : list of str
        Of the features; "0", "1", ... where the data have none.
    truth : ndarray (k,) or None
        The labels the user gave.
    sizes : ndarray (m,) or None
        Rows of all the data per component.
    start : ndarray (k,) or None
        Labels the mixture was started from; None unless these are the rows the model was fitted on.
    """

    n_rows: int
    index: np.ndarray
    raw: np.ndarray
    prepared: np.ndarray
    points: np.ndarray
    names: list[str]
    log_joint: np.ndarray | None = None
    truth: np.ndarray | None = None
    sizes: np.ndarray | None = None
    start: np.ndarray | None = None

    @property
    def sampled(self) -> bool:
        """Whether these are only a part of the rows."""
        return len(self.index) < self.n_rows

    @property
    def n_clusters(self) -> int:
        """Number of components, m."""
        return self._joint().shape[1]

    @property
    def labels(self) -> np.ndarray:
        """The method's own labels (k,)."""
        return self._joint().argmax(axis=1)

    @property
    def responsibilities(self) -> np.ndarray:
        """Probability of each component, (k, m)."""
        return torch.softmax(torch.from_numpy(self._joint()).double(), dim=-1).numpy()

    @property
    def by_size(self) -> np.ndarray:
        """Numbers of the components (m,), those with most rows first."""
        return np.argsort(-np.asarray(self.sizes), kind="stable")

    def _joint(self) -> np.ndarray:
        if self.log_joint is None:
            raise ConfigError("Got rows of a model without clusters; expected one with a mixture.")
        return self.log_joint


def has_mixture(model: Any) -> bool:
    """Whether the model has clusters; ConfigError if it is no mixture, no autoencoder and no detector."""
    if isinstance(model, MixtureShell):
        return True
    if isinstance(model, EmbedderShell | DetectorShell):
        return False
    raise ConfigError(f"Got a {type(model).__name__}; expected a fitted model of steinmix. Fit or load one.")


def is_detector(model: Any) -> bool:
    """Whether the model flags outliers."""
    return isinstance(model, DetectorShell)


def has_network(model: Any) -> bool:
    """Whether the model has parameters outside its mixture."""
    return any(not name.startswith("mixture.") for name, _ in model.module_.named_parameters())


def gather(model: Any, X: Any, labels: Any, streams: Streams) -> Rows:
    """Read the rows, or a random sample of them, and what the model says of them.

    Parameters
    ----------
    model : fitted estimator
    X : as in `fit`, of shape (n, f)
    labels : array-like (n,) or None
        True classes, for scores only.
    streams : Streams
        The sample comes from its stream "rows".

    Raises
    ------
    ConfigError
        If the model is of a kind that has no report.
    DataError
        If there is only one row, or rows and labels do not fit together or to the model.
    """
    mixture = has_mixture(model)
    check_is_fitted(model)
    source = model._source(X, reset=False)
    if source.n_rows < 2:
        raise DataError(f"Got {source.n_rows} row; expected at least 2 to compare. Give more rows.")
    truth = None if labels is None else _truth(labels, source.n_rows)
    index = _sample(source, streams)
    raw = _taken(source, index)
    held = as_source(raw)
    prepared = model._map(lambda x: x, held)
    points, joint = _points(model, held, prepared, mixture)
    rows = {"truth": None if truth is None else truth[index], "log_joint": joint}
    if joint is not None:
        rows |= _assigned(model, source, index, joint)
    return Rows(source.n_rows, index, raw, prepared, points, _names(model, source), **rows)


def _truth(labels: Any, n_rows: int) -> np.ndarray:
    truth = np.asarray(labels)
    if truth.shape != (n_rows,):
        raise DataError(f"Got labels of shape {truth.shape} for {n_rows} rows; expected one label a row, ({n_rows},).")
    return truth


def _sample(source: Source, streams: Streams) -> np.ndarray:
    limit = max(2, min(SAMPLE_ROWS, SAMPLE_CELLS // source.n_features))
    if source.n_rows <= limit:
        return np.arange(source.n_rows)
    return np.sort(streams.numpy("rows").choice(source.n_rows, limit, replace=False))


def _taken(source: Source, index: np.ndarray) -> np.ndarray:
    """Return the rows (k, f); rows that are in memory already are not copied."""
    array = getattr(source, "array", None)
    return array if array is not None and len(index) == source.n_rows else source.take(index)


def _points(model: Any, held: Source, prepared: np.ndarray, mixture: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Return codes and what makes their assignment from one pass through the network."""
    module = model.module_
    if not mixture:
        return model._map(module.embed, held), None
    if not has_network(model):
        return prepared, model._map(lambda x: model._log_joint(module, x), held)

    def both(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([module.embed(x), model._log_joint(module, x)], dim=-1)

    found = model._map(both, held)
    d = module.mixture.n_features
    return found[:, :d], found[:, d:]


def _assigned(model: Any, source: Source, index: np.ndarray, joint: np.ndarray) -> dict[str, Any]:
    """Return sizes over all rows, and the start if these are the rows that the model was fitted on."""
    m = joint.shape[1]
    fitted, labels = model.labels_, joint.argmax(axis=1)
    if len(fitted) == source.n_rows and np.mean(fitted[index] == labels) >= SAME_MODEL:
        start = model.initial_labels_[index]
        sizes = np.bincount(fitted, minlength=m)
        return {"sizes": sizes, "start": None if (start < 0).any() else start}
    everything = labels if len(index) == source.n_rows else model.predict(source)
    return {"sizes": np.bincount(everything, minlength=m)}


def _names(model: Any, source: Source) -> list[str]:
    if source.feature_names is not None:
        return [str(name) for name in source.feature_names]
    fitted = getattr(model, "feature_names_in_", None)
    return [str(j) for j in range(source.n_features)] if fitted is None else [str(name) for name in fitted]


def image_side(rows: Rows) -> int | None:
    """Return the side of the square images that rows look like, or None.

    They do if f is a square, the names are mere numbers (with one common prefix), and neighbours in the square are more
    alike than distant cells: 64 columns of an embedding are no picture.
    """
    side = math.isqrt(len(rows.names))
    prefixes = {found.group(1) if (found := NUMBERED.fullmatch(name)) else None for name in rows.names}
    if side * side != len(rows.names) or side < SMALLEST_SIDE or len(prefixes) > 1 or None in prefixes:
        return None
    return side if _neighbours_alike(rows.prepared[:2000], side) else None


def _neighbours_alike(x: np.ndarray, side: int) -> bool:
    x = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    deviation = x.std(axis=0)
    varies = deviation > 0
    grid = np.divide(x, deviation, out=np.zeros_like(x), where=varies).reshape(-1, side, side)
    varies = varies.reshape(side, side)

    def alike(shift: tuple[int, int]) -> float:
        both = varies & np.roll(varies, shift, (0, 1))
        correlation = np.abs((grid * np.roll(grid, shift, (1, 2))).mean(axis=0))
        return float(correlation[both].mean()) if both.any() else 0.0

    near = (alike((0, 1)) + alike((1, 0))) / 2
    return near > alike((side // 2, side // 2)) + 0.1
