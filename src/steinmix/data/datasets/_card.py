"""What every data set says of itself, and the one shape in which all are handed out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import Bunch

from ...errors import ConfigError, DataError
from ..fetch import ENVIRONMENT_VARIABLE, find, locate

__all__ = [
    "Card",
    "Remote",
    "absence",
    "check_counts",
    "check_shape",
    "choice",
    "hand_out",
    "hand_out_digits",
    "joined",
]


@dataclass(frozen=True)
class Remote:
    """A file of a data set: its place below the data folder, its homes and its digest."""

    path: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None

    def locate(self, download: bool = True) -> Path:
        """Return the verified file; see `steinmix.data.fetch.locate`."""
        return locate(self.path, self.urls, self.sha256, download=download)


@dataclass(frozen=True)
class Card:
    """The identity of a data set."""

    name: str
    title: str
    source: str
    licence: str
    size: str
    preparation: str
    citation: str

    def description(self) -> str:
        """Return the card as text, the ``DESCR`` of the data set."""
        rows = ("source", "licence", "size", "preparation", "citation")
        lines = [f"{row.capitalize()}: {getattr(self, row)}" for row in rows]
        return "\n".join([self.title, "=" * len(self.title), "", *lines])


def absence(name: str, remotes: Sequence[Remote]) -> str:
    """Return which file of a data set is not here and how to get it; empty if all are. Nothing is read."""
    gone = next((remote for remote in remotes if find(remote.path) is None), None)
    if gone is None:
        return ""
    how = f"steinmix data get {name}" if gone.urls else f"no public home; put it below {ENVIRONMENT_VARIABLE}"
    return f"{gone.path} not present ({how})"


def hand_out(
    card: Card,
    data: Any,
    target: np.ndarray,
    *,
    feature_names: Sequence[str],
    target_names: Sequence[str],
    return_X_y: bool,
    as_frame: bool,
    **extra: Any,
) -> Any:
    """Return a Bunch, or (data, target) with `return_X_y`; pandas objects with `as_frame`."""
    names = list(feature_names)
    if as_frame:
        data, target, extra["frame"] = _framed(data, target, names)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        feature_names=names,
        target_names=list(target_names),
        DESCR=card.description(),
        name=card.name,
        source=card.source,
        licence=card.licence,
        **extra,
    )


def hand_out_digits(
    card: Card, data: np.ndarray, target: np.ndarray, side: int, return_X_y: bool, as_frame: bool
) -> Any:
    """Return grey images (n, side * side) of the ten digits as `hand_out` does."""
    return hand_out(
        card,
        data,
        target,
        feature_names=[f"pixel_{i}_{j}" for i in range(side) for j in range(side)],
        target_names=[str(k) for k in range(10)],
        return_X_y=return_X_y,
        as_frame=as_frame,
        image_shape=(side, side),
    )


def joined(
    subset: str, parts: Collection[str], read: Callable[[str], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return data and target of the part `subset`, or of all in their order; one part alone is not copied."""
    choice("subset", subset, ["all", *parts])
    found = [read(name) for name in (parts if subset == "all" else [subset])]
    data, target = (arrays[0] if len(arrays) == 1 else np.concatenate(arrays) for arrays in zip(*found))
    return data, target


def _framed(data: Any, target: np.ndarray, names: list[str]) -> tuple[Any, Any, Any]:
    try:
        import pandas as pd
    except ImportError:
        raise ConfigError("as_frame=True needs pandas, which is not installed; do: pip install pandas") from None
    frame = pd.DataFrame.sparse.from_spmatrix(data) if sp.issparse(data) else pd.DataFrame(data)
    frame.columns = names
    series = pd.Series(target, name="target")
    return frame, series, frame.assign(target=series)


def check_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise if a loaded array is not of the published size."""
    if tuple(got) != expected:
        raise _not_published(name, f"shape {tuple(got)}", f"shape {expected}")


def check_counts(name: str, target: np.ndarray, expected: Sequence[int]) -> None:
    """Raise if the classes are not of the published sizes."""
    got = np.bincount(target, minlength=len(expected)).tolist()
    if got != list(expected):
        raise _not_published(name, f"class sizes {got}", f"class sizes {list(expected)}")


def choice(parameter: str, value: str, allowed: Sequence[str]) -> None:
    """Raise if `value` is none of `allowed`."""
    if value not in allowed:
        raise ConfigError(f"Got {parameter}={value!r}; expected one of {', '.join(map(repr, allowed))}. Choose one.")


def _not_published(name: str, got: str, expected: str) -> DataError:
    return DataError(f"The file of {name} holds {got}; expected the published {expected}. Fetch the file again.")
