"""What every metric asks of its input, and counts; NumPy only, so that importing the metrics stays cheap."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._params import is_number
from ..errors import ConfigError, DataError

__all__ = [
    "encoded",
    "fraction",
    "label_vector",
    "pair_counts",
    "positive_integer",
    "real",
    "responsibility_matrix",
    "same_length",
    "to_numpy",
]

# Rows of responsibilities kept in bfloat16 miss 1 by up to half a per cent; logits and counts by far more.
ROW_SUM_TOLERANCE = 1e-2

MOST_PAIRS = 10**8
"""Cells of a table of two labellings: 0.8 GB."""


def to_numpy(x: Any) -> np.ndarray:
    """Return `x` as a NumPy array; a torch tensor is detached and moved to the CPU."""
    if np.ma.is_masked(x):
        raise DataError(f"got {np.ma.count_masked(x)} masked values, expected none; drop those rows.")
    if hasattr(x, "detach"):  # told by its face: importing torch here would cost every user of the metrics
        x = x.detach().cpu()
        x = x.double() if x.is_floating_point() else x  # NumPy has no bfloat16
    try:
        return np.asarray(x)
    except ValueError as error:
        raise DataError(f"got nested sequences of unequal lengths, expected an array: {error}") from error


def label_vector(labels: Any, name: str) -> np.ndarray:
    """Return `labels` as an array (n,); anything but one non-empty row of labels is a `DataError`."""
    given, labels = labels, to_numpy(labels)
    listed = isinstance(given, list | tuple)  # of which NumPy makes texts all alike, of NaN too, and of 1 as of "1"
    if listed and labels.dtype.kind in "US" and not all(isinstance(label, str | bytes) for label in given):
        labels = np.array(given, dtype=object)
    if labels.ndim != 1:
        raise DataError(f"{name}: got shape {labels.shape}, expected one label a row, (n,).")
    if labels.size == 0:
        raise DataError(f"{name}: got no rows, expected at least one.")
    missing = _missing(labels)
    if np.any(missing):
        raise DataError(f"{name}: got {np.sum(missing)} missing labels (NaN), expected none; drop those rows.")
    return labels


def _missing(labels: np.ndarray) -> np.ndarray:
    """Return where labels (n,) do not equal themselves: NaN, in an array of objects too, and pandas' NA."""
    try:
        return labels != labels
    except TypeError:  # NA does not say whether it does
        return np.array([not isinstance(label == label, bool | np.bool_) or label != label for label in labels])


def encoded(labels: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct labels and, per row, the index (n,) of its label among them."""
    labels = label_vector(labels, name)
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError as error:
        got = f"{name}: got labels that cannot be ordered ({error})"
        raise DataError(f"{got}, expected all numbers or all strings, none missing.") from error


def pair_counts(a: np.ndarray, b: np.ndarray, n_a: int, n_b: int) -> np.ndarray:
    """Return how often each pair of the indices `a` below `n_a` and `b` below `n_b` is there, (n_a, n_b)."""
    if n_a * n_b > MOST_PAIRS:
        raise DataError(f"got {n_a:,} and {n_b:,} different labels, expected classes; these look like row numbers.")
    return np.bincount((a * n_b + b).ravel(), minlength=n_a * n_b).reshape(n_a, n_b)


def real(x: Any, name: str, ndim: int | None = None, infinite: bool = False) -> np.ndarray:
    """Return `x` as float64, finite unless `infinite`, of `ndim` axes if that is given and not empty."""
    array = to_numpy(x)
    if array.dtype.kind not in "biufO":  # NumPy would read strings as numbers and drop imaginary parts
        raise DataError(f"{name}: got values of type {array.dtype}, expected real numbers.")
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: got values that are not numbers ({error}), expected real numbers.") from error
    if ndim is not None and array.ndim != ndim:
        raise DataError(f"{name}: got shape {array.shape}, expected {ndim} axes.")
    if array.size == 0:
        raise DataError(f"{name}: got shape {array.shape}, expected at least one value.")
    bad = np.isnan(array) if infinite else ~np.isfinite(array)
    if bad.any():
        what = "NaN, expected numbers" if infinite else "NaN or infinite, expected finite ones"
        raise DataError(f"{name}: got {bad.sum()} values that are {what}.")
    return array


def responsibility_matrix(x: Any, name: str = "responsibilities") -> np.ndarray:
    """Return `x` (n, m) as float64 after checking that its rows are probabilities."""
    array = real(x, name, ndim=2)
    if (array < 0).any():
        raise DataError(f"{name}: got the negative value {array.min():.4g}, expected probabilities; exponentiate logs.")
    worst = np.abs(array.sum(axis=1) - 1).max()
    if worst > ROW_SUM_TOLERANCE:
        raise DataError(f"{name}: got a row whose sum misses 1 by {worst:.4g}, expected probabilities (n, m).")
    return array


def same_length(**arrays: np.ndarray) -> None:
    """Raise `DataError` unless the arrays, given by name, have one number of rows."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{length} rows in {name}" for name, length in lengths.items())
        raise DataError(f"got {got}; expected the same number, row by row.")


def positive_integer(value: Any, name: str, below: int, what: str) -> int:
    """Return `value` if it is an integer with 1 <= value < `below`; `what` says in words what `below` is."""
    if not isinstance(value, int | np.integer) or not 1 <= value < below:
        raise ConfigError(f"{name}: got {value!r}, expected an integer from 1 to {below - 1} ({what}).")
    return int(value)


def fraction(value: Any, name: str) -> float:
    """Return `value` if it is a number between 0 and 1, both excluded."""
    if not is_number(value) or not 0 < value < 1:
        raise ConfigError(f"{name}: got {value!r}, expected a number between 0 and 1, both excluded.")
    return float(value)
